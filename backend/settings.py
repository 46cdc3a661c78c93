"""Every environment variable the project reads: name, type, default, unit. Nothing else reads `os.environ`."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, IPvAnyNetwork, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent
STARTER_MODEL = REPOSITORY / "examples" / "starter" / "model"


class Settings(BaseSettings):
    """Read once a process, from the environment alone."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(Path(".rlsd"), alias="RLSD_HOME", description="Data folder of the embedded services.")
    database_url: str | None = Field(
        None, alias="DATABASE_URL", description="PostgreSQL URL; replaces the embedded server."
    )
    broker_url: str | None = Field(None, alias="BROKER_URL", description="Redis URL; replaces the embedded server.")
    admin_key: SecretStr | None = Field(
        None,
        alias="RLSD_ADMIN_KEY",
        description="The first admin key, used while no key exists; 32 characters at least.",
    )
    api_url: str = Field("http://127.0.0.1:8000", alias="RLSD_API_URL", description="Where the UI finds the API.")
    public_api_url: str | None = Field(
        None,
        alias="RLSD_PUBLIC_API_URL",
        description="Where people's programs find the API, for the code that the UI shows; `RLSD_API_URL` if not set.",
    )
    models: dict[str, str] = Field(
        {"starter": str(STARTER_MODEL)},
        alias="RLSD_MODELS",
        description="JSON: name shown to users -> folder or hub id. Hub ids not listed may be used as they are.",
    )
    allow_remote_code: bool = Field(
        False,
        alias="RLSD_ALLOW_REMOTE_CODE",
        description="Run the Python code that some models bring along, in the trainer, with the worker's rights.",
    )
    max_upload_bytes: int = Field(2 * 1024**3, alias="RLSD_MAX_UPLOAD_BYTES", ge=1, description="Bytes of one file.")
    reader_memory_bytes: int = Field(
        1024**3,
        alias="RLSD_READER_MEMORY_BYTES",
        ge=256 * 1024**2,
        description="Bytes of memory that reading a file, or making one from it, may take; more is refused.",
    )
    lease_s: float = Field(60.0, alias="RLSD_LEASE_S", gt=0, description="Seconds a worker owns a job without renewal.")
    heartbeat_s: float = Field(15.0, alias="RLSD_HEARTBEAT_S", gt=0, description="Seconds between lease renewals.")
    sweep_s: float = Field(30.0, alias="RLSD_SWEEP_S", gt=0, description="Seconds between sweeps for lost jobs.")
    stop_grace_s: float = Field(
        60.0, alias="RLSD_STOP_GRACE_S", gt=0, description="Seconds a trainer has to obey before it is killed."
    )
    hang_s: float = Field(
        1800.0, alias="RLSD_HANG_S", gt=0, description="Least seconds without progress before a trainer counts as hung."
    )
    check_timeout_s: float = Field(
        60.0, alias="RLSD_CHECK_TIMEOUT_S", gt=0, description="Seconds the API waits for a check's result."
    )
    verifier_timeout_s: float = Field(
        5.0,
        alias="RLSD_VERIFIER_TIMEOUT_S",
        gt=0,
        le=3600,
        description="Seconds one call of a verifier may take; a process of the sandbox lives twelve times as long.",
    )
    verifier_memory_bytes: int = Field(
        1024**3,
        alias="RLSD_VERIFIER_MEMORY_BYTES",
        ge=128 * 1024**2,
        description="Bytes of address space of one process of a verifier, beside the libraries loaded for it.",
    )
    verifier_batch_rows: int = Field(
        64,
        alias="RLSD_VERIFIER_BATCH_ROWS",
        ge=1,
        le=100_000,
        description="Rows of a Python verifier that share a process, where its source allows that.",
    )
    verifier_start_s: float = Field(
        30.0, alias="RLSD_VERIFIER_START_S", gt=0, description="Seconds the sandbox may take to start."
    )
    check_budget_s: float = Field(
        3600.0, alias="RLSD_CHECK_BUDGET_S", gt=0, description="Seconds a worker spends on one check before it stops."
    )
    judge_url: str | None = Field(
        None,
        alias="RLSD_JUDGE_URL",
        description="OpenAI-compatible API (ending in /v1) that score_model and label_model graders ask.",
    )
    judge_key: SecretStr | None = Field(None, alias="RLSD_JUDGE_KEY", description="Key of that API, if it needs one.")
    oidc_issuer: str | None = Field(
        None,
        alias="RLSD_OIDC_ISSUER",
        description="OpenID Connect provider (its issuer URL) whose ID tokens the API accepts; members by e-mail.",
    )
    oidc_audience: str | None = Field(
        None, alias="RLSD_OIDC_AUDIENCE", description="Client id that those ID tokens must be made for."
    )
    oidc_trust_email: bool = Field(
        False,
        alias="RLSD_OIDC_TRUST_EMAIL",
        description="Take the addresses of a provider that never sends email_verified as verified.",
    )
    oidc_client_secret: SecretStr | None = Field(
        None,
        alias="RLSD_OIDC_CLIENT_SECRET",
        description="Secret of that client, for the UI alone: with it, people sign in to the UI through the provider.",
    )
    ui_url: str | None = Field(
        None,
        alias="RLSD_UI_URL",
        description="Address of the UI in a browser; the provider sends people back to its path /oauth2callback.",
    )
    webhook_networks: list[IPvAnyNetwork] = Field(
        [],
        alias="RLSD_WEBHOOK_NETWORKS",
        description='JSON: networks, such as ["10.1.0.0/16"], that webhooks may reach beside public addresses.',
    )
    requests_per_minute: int = Field(
        12_000, alias="RLSD_REQUESTS_PER_MINUTE", ge=1, description="Requests a minute that one key may send."
    )
    gpu_hour_price: float | None = Field(
        None, alias="RLSD_GPU_HOUR_PRICE", ge=0, description="Price of a device for an hour, for estimates."
    )
    currency: str = Field("USD", alias="RLSD_CURRENCY", max_length=10, description="Of that price.")
    gguf_converter: Path | None = Field(
        None,
        alias="RLSD_GGUF_CONVERTER",
        description="llama.cpp's convert_hf_to_gguf.py, for GGUF exports of architectures beyond the built-in ones.",
    )
    chat_hub_models: bool = Field(
        False,
        alias="RLSD_CHAT_HUB_MODELS",
        description="Let chat ask for any model of the hub, fetched with the chat server's HF_TOKEN.",
    )
    chat_wait_s: float = Field(
        600.0,
        alias="RLSD_CHAT_WAIT_S",
        gt=0,
        description="Seconds a chat request may wait for its first token: for its turn, and for a model to be loaded.",
    )
    serve_models: int = Field(
        1, alias="RLSD_SERVE_MODELS", ge=1, description="Base models that a chat server holds at once."
    )
    serve_adapters: int = Field(
        8, alias="RLSD_SERVE_ADAPTERS", ge=1, description="Adapters kept on each base model of a chat server."
    )
    serve_idle_s: float = Field(
        600.0, alias="RLSD_SERVE_IDLE_S", gt=0, description="Seconds after which an unused model is let go."
    )
    serve_sequences: int = Field(
        32, alias="RLSD_SERVE_SEQUENCES", ge=1, description="Completions that a chat server writes at once on a base."
    )
    serve_tokens: int = Field(
        65536,
        alias="RLSD_SERVE_TOKENS",
        ge=256,
        description="Tokens of all completions at once, with their prompts and what they may yet write: bounds memory.",
    )
    serve_max_tokens: int = Field(
        4096,
        alias="RLSD_SERVE_MAX_TOKENS",
        ge=1,
        description="Tokens of a completion whose request does not say how many.",
    )
    serve_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", alias="RLSD_SERVE_DTYPE", description="Numbers of served models; auto: bfloat16 on a GPU, else float32."
    )
    tensorboard_dir: Path | None = Field(
        None, alias="RLSD_TENSORBOARD_DIR", description="Folder to which trainers write files for TensorBoard."
    )
    mlflow_experiment: str | None = Field(
        None, alias="RLSD_MLFLOW_EXPERIMENT", description="Experiment that runs are told to, at MLFLOW_TRACKING_URI."
    )
    mlflow_tracking_uri: SecretStr | None = Field(
        None, alias="MLFLOW_TRACKING_URI", description="MLflow's server or database; it may hold a password."
    )
    wandb_project: str | None = Field(
        None,
        alias="RLSD_WANDB_PROJECT",
        description="Project at Weights & Biases that runs are told to; its library reads WANDB_API_KEY, WANDB_MODE.",
    )
    torch_threads: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 2) // 2),
        alias="RLSD_TORCH_THREADS",
        ge=1,
        description="Threads of a trainer; a run resumes bit for bit with the number it began with.",
    )
    log_level: str = Field("INFO", alias="RLSD_LOG_LEVEL")

    @property
    def required_database_url(self) -> str:
        if self.database_url is None:
            raise ValueError("DATABASE_URL is not set: start with `rlsd up`, or name a PostgreSQL server.")
        return self.database_url

    @property
    def required_broker_url(self) -> str:
        if self.broker_url is None:
            raise ValueError("BROKER_URL is not set: start with `rlsd up`, or name a Redis server.")
        return self.broker_url


@lru_cache(maxsize=1)
def settings() -> Settings:
    return Settings()
