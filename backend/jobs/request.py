"""The body of `POST /v1/fine_tuning/jobs`: OpenAI's format, with `x_rlsd` next to its hyperparameters."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from backend.core.settings.about import Strict
from backend.core.settings.limits import ModelName, Seed
from backend.errors import AppError, in_words


def unsupported(*harmless: object, instead: str = "leave it out") -> AfterValidator:
    """Make a validator for an OpenAI parameter without effect here, which accepts null and the `harmless` values."""

    def require_harmless(value: object) -> object:
        if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in (None, *harmless)):
            raise ValueError(f"not supported by this server: {instead}")
        return value

    return AfterValidator(require_harmless)


class Hyperparameters(Strict):
    """OpenAI's hyperparameters. `auto` takes the value from `x_rlsd`."""

    n_epochs: int | Literal["auto"] = Field("auto", description="Passes over the training rows; sets `max_steps`.")
    batch_size: int | Literal["auto"] = "auto"
    learning_rate_multiplier: float | Literal["auto"] = "auto"
    eval_interval: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    eval_samples: int | Literal["auto"] = "auto"
    compute_multiplier: Annotated[Any, unsupported("auto", 1)] = "auto"
    reasoning_effort: Annotated[Any, unsupported("default")] = "default"

    @field_validator("n_epochs", "batch_size", "eval_samples", "learning_rate_multiplier")
    @classmethod
    def _positive(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and value <= 0:
            raise ValueError("must be greater than 0")
        return value


class Reinforcement(Strict):
    grader: dict[str, Any]
    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)
    x_rlsd: dict[str, Any] = Field(
        default_factory=dict, description="RlsdSettings (`rlsd settings`); the preset supplies the rest."
    )
    response_format: Annotated[Any, unsupported({"type": "text"})] = None


class MethodRequest(Strict):
    type: Literal["reinforcement"]
    reinforcement: Reinforcement
    supervised: Annotated[Any, unsupported()] = None
    dpo: Annotated[Any, unsupported()] = None


class JobRequest(Strict):
    """Body of a request to create a job."""

    model: ModelName
    training_file: str
    validation_file: str | None = None
    seed: Seed | None = None
    suffix: str | None = Field(None, min_length=1, max_length=64)
    metadata: dict[str, str] | None = None
    method: MethodRequest
    hyperparameters: Annotated[Any, unsupported({}, instead="use method.reinforcement.hyperparameters")] = None
    integrations: Annotated[Any, unsupported([])] = None

    @field_validator("suffix")
    @classmethod
    def _part_of_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
            raise ValueError("use letters, digits, '-', '_' and '.', starting with a letter or a digit")
        return value

    @model_validator(mode="after")
    def _bounded_metadata(self) -> "JobRequest":
        pairs = self.metadata or {}
        if len(pairs) > 16 or any(len(k) > 64 or len(v) > 512 for k, v in pairs.items()):
            raise ValueError("use at most 16 pairs, with keys of up to 64 and values of up to 512 characters")
        return self


def first_validation_error(error: ValidationError, *, prefix: str = "") -> AppError:
    """Convert pydantic's first error into one sentence with the parameter's dotted name."""
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    param = ".".join(part for part in (prefix, path) if part) or None
    if first["type"] == "extra_forbidden":
        return AppError(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    return AppError(f"{param or 'The request'}: {in_words(first)}.", param=param, code="invalid_value")
