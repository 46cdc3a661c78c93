"""Resolution of a request's settings. Precedence: `x_rlsd`, OpenAI's hyperparameters, preset, default."""

import math
from typing import Any

from pydantic import ValidationError

from backend.core.methods import METHODS, MethodName
from backend.core.settings.choices import Preset
from backend.core.settings.spec import PRESETS, RlsdSettings
from backend.errors import AppError
from backend.jobs.request import Hyperparameters, Reinforcement, first_validation_error

X_RLSD = "method.reinforcement.x_rlsd"
HYPERPARAMETERS = "method.reinforcement.hyperparameters"


def resolve_settings(request: Reinforcement, *, row_count: int) -> RlsdSettings:
    """Resolve every setting from `x_rlsd`, else OpenAI's hyperparameters, else the preset, else the default.

    Raises AppError naming the parameter if a value is unknown, out of range or contradictory.
    """
    given = dict(request.x_rlsd)
    try:
        preset = Preset(given.get("preset", Preset.PAPER))
    except ValueError:
        raise AppError(
            f"Unknown preset {given['preset']!r}: use one of {', '.join(Preset)}.", param=f"{X_RLSD}.preset"
        ) from None
    method = given.get("method", MethodName.RLSD)
    facts = next((facts for name, facts in METHODS.items() if name == method), None)  # unknown names are rejected below
    values = {**(facts.defaults if facts else {}), **PRESETS[preset], **given}
    if facts is not None and facts.hint is not None:
        values["hint"] = given.get("hint", facts.hint)  # fixed by the method, whatever the preset
    if "batch_size" not in given and request.hyperparameters.batch_size == "auto":
        values["batch_size"] = _fitting_batch(values, row_count=row_count)
    for name, value in _from_hyperparameters(request.hyperparameters, values, row_count=row_count).items():
        if name in given and given[name] != value:
            raise AppError(
                f"{name} is {given[name]!r} in x_rlsd, but {value!r} follows from hyperparameters: set it in only one "
                "of the two.",
                param=f"{X_RLSD}.{name}",
            )
        values[name] = value
    try:
        settings = RlsdSettings.model_validate(values)
    except ValidationError as error:
        raise first_validation_error(error, prefix=X_RLSD) from None
    _require_consistent(settings)
    if settings.batch_size > row_count:
        raise AppError(
            f"batch_size {settings.batch_size} is larger than the number of training rows: use {row_count} or less.",
            code="invalid_value",
            param=_param_of(request, "batch_size"),
        )
    return settings


def _fitting_batch(values: dict[str, Any], *, row_count: int) -> int:
    """Return the default batch size, lowered to the number of training rows, as a multiple of the devices."""
    batch_size: int = values.get("batch_size", RlsdSettings.model_fields["batch_size"].default)
    devices = values.get("devices", 1)
    if row_count >= batch_size or type(devices) is not int or devices < 1:
        return batch_size
    return max(1, row_count - row_count % devices)


def _param_of(request: Reinforcement, name: str) -> str:
    return f"{X_RLSD if name in request.x_rlsd else HYPERPARAMETERS}.{name}"


def _require_consistent(settings: RlsdSettings) -> None:
    """Raise AppError for settings that are each valid but contradict each other, naming one of them."""
    method, facts = settings.method, METHODS[settings.method]
    if facts.hint is not None and settings.hint is not facts.hint:
        raise AppError(
            f"The method {method} requires the hint '{facts.hint}', not '{settings.hint}': leave hint out, or use the "
            "method opsd, which allows any hint.",
            param=f"{X_RLSD}.hint",
        )
    if facts.contrast is not None and settings.hint is facts.contrast:
        raise AppError(
            f"The method {method} contrasts its hint with '{facts.contrast}', so the hint must be a different one.",
            param=f"{X_RLSD}.hint",
        )
    if facts.teacher == "external" and settings.teacher_model is None:
        raise AppError(
            f"The method {method} imitates a larger model: set teacher_model.", param=f"{X_RLSD}.teacher_model"
        )
    if facts.teacher != "external" and settings.teacher_model is not None:
        raise AppError(
            f"teacher_model is only used by the method opd, not by {method}: leave it out.",
            param=f"{X_RLSD}.teacher_model",
        )
    if settings.divergence != "sampled" and not facts.distils:
        distilling = ", ".join(name for name, other in METHODS.items() if other.distils)
        raise AppError(
            f"divergence '{settings.divergence}' is only used by distilling methods ({distilling}), not by {method}: "
            "leave it out.",
            param=f"{X_RLSD}.divergence",
        )
    if settings.resample_rounds > 0 and not facts.rewarded:
        raise AppError(
            f"resample_rounds replaces questions whose completions all have the same score, but {method} does not "
            "learn from scores: set it to 0.",
            param=f"{X_RLSD}.resample_rounds",
        )
    if settings.practice is not None and not facts.rewarded:
        raise AppError(
            f"practice trains on the scores of completions that saw a hint, but {method} does not learn from scores: "
            "leave it out.",
            param=f"{X_RLSD}.practice",
        )
    if settings.overlong_buffer > settings.max_completion_tokens:
        raise AppError(
            f"overlong_buffer {settings.overlong_buffer} is the last part of a completion of at most "
            f"{settings.max_completion_tokens} tokens: use max_completion_tokens or less.",
            param=f"{X_RLSD}.overlong_buffer",
        )
    if settings.overlong_buffer > 0 and not facts.rewarded:
        raise AppError(
            f"overlong_buffer lowers the rewards of long completions, but {method} does not learn from rewards: set it "
            "to 0.",
            param=f"{X_RLSD}.overlong_buffer",
        )
    if settings.warmup_steps >= settings.max_steps:
        raise AppError(
            f"warmup_steps {settings.warmup_steps} leaves none of the {settings.max_steps} steps at the full learning "
            "rate: use fewer than max_steps.",
            param=f"{X_RLSD}.warmup_steps",
        )
    if settings.batch_size % settings.devices:
        raise AppError(
            f"batch_size {settings.batch_size} cannot be divided evenly among {settings.devices} devices: use a "
            f"multiple of {settings.devices}.",
            param=f"{X_RLSD}.batch_size",
        )
    if settings.sharding == "sharded" and settings.devices == 1:
        raise AppError(
            "sharding 'sharded' splits the model across devices: set devices to 2 or more, or leave sharding out.",
            param=f"{X_RLSD}.sharding",
        )
    if settings.generator == "vllm" and settings.devices > 1:
        raise AppError(
            "generator 'vllm' supports one device only: set devices to 1, or generator to 'transformers'.",
            param=f"{X_RLSD}.generator",
        )


def _from_hyperparameters(hyper: Hyperparameters, values: dict[str, Any], *, row_count: int) -> dict[str, Any]:
    derived: dict[str, Any] = {
        name: value
        for name in ("batch_size", "eval_interval", "eval_samples")
        if (value := getattr(hyper, name)) != "auto"
    }
    if hyper.learning_rate_multiplier != "auto":
        derived["learning_rate"] = RlsdSettings.model_fields["learning_rate"].default * hyper.learning_rate_multiplier
    if hyper.n_epochs != "auto":
        batch_size = derived.get(
            "batch_size", values.get("batch_size", RlsdSettings.model_fields["batch_size"].default)
        )
        if not isinstance(batch_size, int) or batch_size < 1:
            raise AppError("batch_size must be a whole number, 1 or more.", param=f"{X_RLSD}.batch_size")
        derived["max_steps"] = math.ceil(hyper.n_epochs * row_count / batch_size)
    return derived
