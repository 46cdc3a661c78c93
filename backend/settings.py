"""All environment variables of the project: name, type, default, unit. Nothing else reads `os.environ`."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, IPvAnyNetwork, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent
STARTER_MODEL = REPOSITORY / "examples" / "starter" / "model"


class Settings(BaseSettings):
    """The settings, read once per process, from the environment only."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(Path(".rlsd"), alias="RLSD_HOME", description="Data folder of the embedded services.")
    database_url: str | None = Field(
        None, alias="DATABASE_URL", description="PostgreSQL URL; replaces the embedded server."
    )
    broker_url: str | None = Field(None, alias="BROKER_URL", description="Redis URL; replaces the embedded server.")
    admin_key: SecretStr | None = Field(
        None,
        alias="RLSD_ADMIN_KEY",
        description="The first admin key, used while no key exists; at least 32 characters.",
    )
    api_url: str = Field(
        "http://127.0.0.1:8000", alias="RLSD_API_URL", description="URL under which the UI reaches the API."
    )
    public_api_url: str | None = Field(
        None,
        alias="RLSD_PUBLIC_API_URL",
        description="URL under which users' programs reach the API, for the code the UI shows; default `RLSD_API_URL`.",
    )
    models: dict[str, str | None] = Field(
        {},
        alias="RLSD_MODELS",
        description="JSON: name shown to users -> folder or hub id, in addition to the starter; null removes a name. "
        "Hub ids that are not listed can be used directly.",
    )
    models_folder: Path | None = Field(
        None,
        alias="RLSD_MODELS_FOLDER",
        description="Folder in which each folder of a model is listed by its name; default `models` in `RLSD_HOME`.",
    )
    allow_remote_code: bool = Field(
        False,
        alias="RLSD_ALLOW_REMOTE_CODE",
        description="Run the Python code that some models include, in the trainer, with the worker's rights.",
    )
    max_upload_bytes: int = Field(
        2 * 1024**3, alias="RLSD_MAX_UPLOAD_BYTES", ge=1, description="Largest file, in bytes."
    )
    reader_memory_bytes: int = Field(
        1024**3,
        alias="RLSD_READER_MEMORY_BYTES",
        ge=256 * 1024**2,
        description="Bytes of memory that reading a file, or creating one from it, may use; files that need more fail.",
    )
    lease_s: float = Field(60.0, alias="RLSD_LEASE_S", gt=0, description="Seconds a worker's lease on a job is valid.")
    heartbeat_s: float = Field(15.0, alias="RLSD_HEARTBEAT_S", gt=0, description="Seconds between lease renewals.")
    sweep_s: float = Field(30.0, alias="RLSD_SWEEP_S", gt=0, description="Seconds between sweeps for lost jobs.")
    stop_grace_s: float = Field(
        60.0, alias="RLSD_STOP_GRACE_S", gt=0, description="Seconds a trainer has to stop before it is killed."
    )
    hang_s: float = Field(
        1800.0,
        alias="RLSD_HANG_S",
        gt=0,
        description="Minimum seconds without progress until a trainer counts as hung.",
    )
    check_timeout_s: float = Field(
        60.0, alias="RLSD_CHECK_TIMEOUT_S", gt=0, description="Seconds the API waits for a check's result."
    )
    verifier_timeout_s: float = Field(
        5.0,
        alias="RLSD_VERIFIER_TIMEOUT_S",
        gt=0,
        le=3600,
        description="Seconds one verifier call may take; a sandbox process may run twelve times as long.",
    )
    verifier_memory_bytes: int = Field(
        1024**3,
        alias="RLSD_VERIFIER_MEMORY_BYTES",
        ge=128 * 1024**2,
        description="Bytes of address space of one verifier process, in addition to its preloaded libraries.",
    )
    verifier_batch_rows: int = Field(
        64,
        alias="RLSD_VERIFIER_BATCH_ROWS",
        ge=1,
        le=100_000,
        description="Rows that share a process of a Python verifier, if its source allows that.",
    )
    verifier_start_s: float = Field(
        30.0, alias="RLSD_VERIFIER_START_S", gt=0, description="Seconds the sandbox may take to start."
    )
    check_budget_s: float = Field(
        3600.0, alias="RLSD_CHECK_BUDGET_S", gt=0, description="Seconds a worker may spend on one check."
    )
    judge_url: str | None = Field(
        None,
        alias="RLSD_JUDGE_URL",
        description="OpenAI-compatible API (URL ending in /v1) that score_model and label_model graders call.",
    )
    judge_key: SecretStr | None = Field(None, alias="RLSD_JUDGE_KEY", description="Key for that API, if it needs one.")
    oidc_issuer: str | None = Field(
        None,
        alias="RLSD_OIDC_ISSUER",
        description="Issuer URL of the OpenID Connect provider for sign-in with ID tokens; members by e-mail.",
    )
    oidc_audience: str | None = Field(
        None, alias="RLSD_OIDC_AUDIENCE", description="Client id that must be the audience of those ID tokens."
    )
    oidc_trust_email: bool = Field(
        False,
        alias="RLSD_OIDC_TRUST_EMAIL",
        description="Treat e-mail addresses as verified if the provider never sends email_verified.",
    )
    oidc_client_secret: SecretStr | None = Field(
        None,
        alias="RLSD_OIDC_CLIENT_SECRET",
        description="Secret of that client, for the UI only: lets users sign in to the UI through the provider.",
    )
    ui_url: str | None = Field(
        None,
        alias="RLSD_UI_URL",
        description="URL of the UI in a browser; the provider redirects users to its path /oauth2callback.",
    )
    webhook_networks: list[IPvAnyNetwork] = Field(
        [],
        alias="RLSD_WEBHOOK_NETWORKS",
        description='JSON: networks, such as ["10.1.0.0/16"], that webhooks may reach besides public addresses.',
    )
    requests_per_minute: int = Field(
        12_000, alias="RLSD_REQUESTS_PER_MINUTE", ge=1, description="Requests per minute that one key may send."
    )
    gpu_hour_price: float | None = Field(
        None, alias="RLSD_GPU_HOUR_PRICE", ge=0, description="Price of one device per hour, for estimates."
    )
    currency: str = Field("USD", alias="RLSD_CURRENCY", max_length=10, description="Currency of that price.")
    gguf_converter: Path | None = Field(
        None,
        alias="RLSD_GGUF_CONVERTER",
        description="llama.cpp's convert_hf_to_gguf.py, for GGUF exports of architectures beyond the built-in ones.",
    )
    chat_hub_models: bool = Field(
        False,
        alias="RLSD_CHAT_HUB_MODELS",
        description="Let chat requests name any model on the hub, downloaded with the chat server's HF_TOKEN.",
    )
    chat_wait_s: float = Field(
        600.0,
        alias="RLSD_CHAT_WAIT_S",
        gt=0,
        description="Seconds a chat request may wait for its first token, including the queue and loading the model.",
    )
    serve_models: int = Field(
        1, alias="RLSD_SERVE_MODELS", ge=1, description="Base models that a chat server keeps loaded at once."
    )
    serve_adapters: int = Field(
        8, alias="RLSD_SERVE_ADAPTERS", ge=1, description="Adapters kept on each base model of a chat server."
    )
    serve_idle_s: float = Field(
        600.0, alias="RLSD_SERVE_IDLE_S", gt=0, description="Seconds after which an unused model is unloaded."
    )
    serve_sequences: int = Field(
        32,
        alias="RLSD_SERVE_SEQUENCES",
        ge=1,
        description="Completions that a chat server samples at once per base model.",
    )
    serve_tokens: int = Field(
        65536,
        alias="RLSD_SERVE_TOKENS",
        ge=256,
        description="Tokens of all concurrent prompts and completions, up to their limits; bounds memory.",
    )
    serve_max_tokens: int = Field(
        4096,
        alias="RLSD_SERVE_MAX_TOKENS",
        ge=1,
        description="Default limit of completion tokens for requests that set none.",
    )
    serve_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        alias="RLSD_SERVE_DTYPE",
        description="Data type of served models; auto: bfloat16 on a GPU, else float32.",
    )
    tensorboard_dir: Path | None = Field(
        None, alias="RLSD_TENSORBOARD_DIR", description="Folder to which trainers write TensorBoard event files."
    )
    mlflow_experiment: str | None = Field(
        None, alias="RLSD_MLFLOW_EXPERIMENT", description="MLflow experiment for runs, at MLFLOW_TRACKING_URI."
    )
    mlflow_tracking_uri: SecretStr | None = Field(
        None, alias="MLFLOW_TRACKING_URI", description="MLflow server or database; may contain a password."
    )
    wandb_project: str | None = Field(
        None,
        alias="RLSD_WANDB_PROJECT",
        description="Weights & Biases project for runs; its library reads WANDB_API_KEY, WANDB_MODE.",
    )
    torch_threads: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 2) // 2),
        alias="RLSD_TORCH_THREADS",
        ge=1,
        description="Threads of a trainer; a run resumes bit for bit only with the number it started with.",
    )
    log_level: str = Field("INFO", alias="RLSD_LOG_LEVEL")

    @property
    def required_database_url(self) -> str:
        if self.database_url is None:
            raise ValueError("DATABASE_URL is not set: use `rlsd up`, or set it to the URL of a PostgreSQL server.")
        return self.database_url

    @property
    def required_broker_url(self) -> str:
        if self.broker_url is None:
            raise ValueError("BROKER_URL is not set: use `rlsd up`, or set it to the URL of a Redis server.")
        return self.broker_url


@lru_cache(maxsize=1)
def settings() -> Settings:
    return Settings()
