"""The only configuration of a job: every setting with its unit, range, default and the paper's symbol.

`JobRequest` is the body of `POST /v1/fine_tuning/jobs` (OpenAI's shape, with `x_rlsd` beside its hyperparameters);
`RlsdSettings` is what a run obeys, every value decided. Paper: arXiv 2604.03128; the `steady` preset is explained in
`docs/presets.md`.
"""

import math
import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from backend.errors import AppError


class Method(StrEnum):
    GRPO = "grpo"
    """Group-relative policy optimisation: the verifier alone."""
    RLSD = "rlsd"
    """RLVR with self-distillation: the verifier gives the direction, the hinted model the magnitude per token."""


class Teacher(StrEnum):
    BASE = "base"
    """The base model, adapter switched off."""
    SNAPSHOT = "snapshot"
    """A frozen copy of the adapter, renewed every `teacher_sync_steps`."""
    LIVE = "live"
    """The adapter being trained."""


class Hint(StrEnum):
    ANSWER = "answer"
    """The reference answer alone."""
    SOLUTION = "solution"
    """The worked solution; every row must have one."""


class Preset(StrEnum):
    PAPER = "paper"
    """As published."""
    STEADY = "steady"
    """Constant strength, wide normalised weights, first-error mask, solution hints."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Lora(Strict):
    r: int = Field(16, ge=1, le=512, description="Rank of the adapter.")
    alpha: float = Field(32, gt=0, le=4096, description="Scale: the update is multiplied by alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the adapter's inputs dropped while training.")
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="Names of the layers that get an adapter, or `all-linear`."
    )


class RlsdSettings(Strict):
    """Every setting of a run. Defaults are the paper's (preset `paper`), but for the learning rate, which is LoRA's."""

    preset: Preset = Field(Preset.PAPER, description="The set of defaults below.")
    method: Method = Field(Method.RLSD, description="How the verdict on a completion is spread over its tokens.")
    lam: float = Field(0.5, alias="lambda", ge=0, le=1, description="Strength of the teacher's weights (λ). 0 is GRPO.")
    lambda_decay_steps: int = Field(
        50, ge=0, le=1_000_000, description="Steps over which λ falls linearly to 0; 0 keeps it constant."
    )
    eps_w: tuple[float, float] = Field(
        (0.2, 0.2), description="Weights stay in [1 - first, 1 + second] (ε_w). A single number stands for both."
    )
    normalise: bool = Field(False, description="Divide a sequence's weights by their mean.")
    first_error: bool = Field(False, description="Weight 1 after the first token that the teacher firmly rejects.")
    teacher: Teacher = Field(Teacher.SNAPSHOT, description="Whose probabilities weigh the tokens.")
    teacher_sync_steps: int = Field(10, ge=1, le=1_000_000, description="Steps between two snapshots of the teacher.")
    hint: Hint = Field(Hint.ANSWER, description="What the teacher is shown.")
    num_generations: int = Field(8, ge=2, le=256, description="Completions a prompt (G).")
    batch_size: int = Field(8, ge=1, le=4096, description="Prompts a step.")
    max_prompt_tokens: int = Field(2048, ge=1, le=1_000_000, description="Longest prompt, hint included, in tokens.")
    max_completion_tokens: int = Field(256, ge=1, le=1_000_000, description="Longest completion in tokens.")
    temperature: float = Field(1.0, gt=0, le=10, description="Sampling temperature.")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Step size of AdamW.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, le=1000, description="Gradients are scaled down to this norm.")
    eps_low: float = Field(0.2, gt=0, lt=1, description="Lower clip of the policy ratio.")
    eps_high: float = Field(0.28, gt=0, le=10, description="Upper clip of the policy ratio.")
    dual_clip: float = Field(3.0, gt=1, le=100, description="Bound of the loss where the advantage is negative (c).")
    loss: Literal["token_mean", "sequence_mean"] = Field(
        "token_mean", description="Mean over all tokens of the batch, or over sequences of their token means."
    )
    micro_batch_tokens: int = Field(
        4_096,
        ge=1,
        le=100_000_000,
        description="Tokens in one pass; lower it when memory runs out.",
    )
    max_steps: int = Field(200, ge=1, le=1_000_000, description="Optimiser steps.")
    lora: Lora = Field(default_factory=Lora)
    eval_samples: int = Field(4, ge=1, le=256, description="Completions a held-out question (k of avg@k).")
    eval_interval: int = Field(
        0, ge=0, le=1_000_000, description="Steps between evaluations; 0: before and after only."
    )
    eval_rows: int = Field(200, ge=2, le=100_000, description="Most held-out questions used.")
    held_out_share: float = Field(
        0.1, gt=0, lt=1, description="Share of the training rows held out where no validation file is given."
    )
    checkpoint_interval: int = Field(20, ge=1, le=1_000_000, description="Steps between two checkpoints.")
    token_share: float = Field(0.25, ge=0, le=1, description="Share of completions whose per-token credit is kept.")
    max_error_share: float = Field(
        0.5, ge=0, le=1, description="Share of a step's verdicts that may be errors or timeouts before the job pauses."
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Number format of the base model.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train.")

    @field_validator("eps_w", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return (value, value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("eps_w")
    @classmethod
    def _in_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not (0 <= low <= 1 and 0 <= high <= 1000):
            raise ValueError("the first number must lie in [0, 1], the second in [0, 1000]")
        return value


PRESETS: dict[Preset, dict[str, Any]] = {
    Preset.PAPER: {},
    Preset.STEADY: {
        "lambda": 1.0,
        "lambda_decay_steps": 0,
        "eps_w": (0.8, 4.0),
        "normalise": True,
        "first_error": True,
        "hint": "solution",
    },
}


class Hyperparameters(Strict):
    """OpenAI's hyperparameters. `auto` means: as `x_rlsd` says."""

    n_epochs: int | Literal["auto"] = Field("auto", description="Passes over the training rows; sets `max_steps`.")
    batch_size: int | Literal["auto"] = "auto"
    learning_rate_multiplier: float | Literal["auto"] = "auto"
    eval_interval: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    eval_samples: int | Literal["auto"] = "auto"
    compute_multiplier: Literal["auto"] | None = "auto"
    reasoning_effort: Literal["default"] | None = "default"

    @field_validator("n_epochs", "batch_size", "eval_samples", "learning_rate_multiplier")
    @classmethod
    def _positive(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and value <= 0:
            raise ValueError("must be greater than 0")
        return value


class Reinforcement(Strict):
    grader: dict[str, Any]
    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)
    x_rlsd: dict[str, Any] = Field(default_factory=dict, description="RlsdSettings; the preset gives the rest.")
    response_format: None = None


class MethodRequest(Strict):
    type: Literal["reinforcement"]
    reinforcement: Reinforcement


class JobRequest(Strict):
    """The body that creates a job."""

    model: str = Field(min_length=1, max_length=300)
    training_file: str
    validation_file: str | None = None
    seed: int | None = Field(None, ge=0, lt=2**31)
    suffix: str | None = Field(None, min_length=1, max_length=64)
    metadata: dict[str, str] | None = None
    method: MethodRequest
    integrations: None = None

    @field_validator("suffix")
    @classmethod
    def _part_of_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
            raise ValueError("use letters, digits, '-', '_' and '.', no spaces, beginning with a letter or a digit")
        return value

    @model_validator(mode="after")
    def _bounded_metadata(self) -> "JobRequest":
        pairs = self.metadata or {}
        if len(pairs) > 16 or any(len(k) > 64 or len(v) > 512 for k, v in pairs.items()):
            raise ValueError("metadata holds at most 16 pairs, keys of 64 and values of 512 characters")
        return self


X_RLSD = "method.reinforcement.x_rlsd"
HYPERPARAMETERS = "method.reinforcement.hyperparameters"


def resolve_settings(request: Reinforcement, *, row_count: int) -> RlsdSettings:
    """Every setting decided: what `x_rlsd` says, else OpenAI's hyperparameters, else the preset, else the default.

    Raises AppError naming the parameter where a value is out of range, unknown, or said twice differently.
    """
    given = dict(request.x_rlsd)
    try:
        preset = Preset(given.get("preset", Preset.PAPER))
    except ValueError:
        raise AppError(
            f"Unknown preset {given['preset']!r}: use one of {', '.join(Preset)}.", param=f"{X_RLSD}.preset"
        ) from None
    values = {**PRESETS[preset], **given}
    for name, value in _from_hyperparameters(request.hyperparameters, values, row_count=row_count).items():
        if name in given and given[name] != value:
            raise AppError(
                f"{name} is {given[name]!r} in x_rlsd but follows as {value!r} from hyperparameters: give it once.",
                param=f"{X_RLSD}.{name}",
            )
        values[name] = value
    try:
        return RlsdSettings.model_validate(values)
    except ValidationError as error:
        raise first_problem(error, prefix=X_RLSD) from None


def _from_hyperparameters(hyper: Hyperparameters, values: dict[str, Any], *, row_count: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        name: value
        for name in ("batch_size", "eval_interval", "eval_samples")
        if (value := getattr(hyper, name)) != "auto"
    }
    if hyper.learning_rate_multiplier != "auto":
        said["learning_rate"] = RlsdSettings.model_fields["learning_rate"].default * hyper.learning_rate_multiplier
    if hyper.n_epochs != "auto":
        batch_size = said.get("batch_size", values.get("batch_size", RlsdSettings.model_fields["batch_size"].default))
        if not isinstance(batch_size, int) or batch_size < 1:
            raise AppError("batch_size must be a whole number from 1.", param=f"{X_RLSD}.batch_size")
        said["max_steps"] = math.ceil(hyper.n_epochs * row_count / batch_size)
    return said


def first_problem(error: ValidationError, *, prefix: str = "") -> AppError:
    """The first thing pydantic found, as one sentence with the parameter's dotted name."""
    problem = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in problem["loc"])
    param = ".".join(part for part in (prefix, path) if part) or None
    message = problem["msg"].removeprefix("Value error, ")
    return AppError(f"{param or 'The request'}: {message}.", param=param, code="invalid_value")
