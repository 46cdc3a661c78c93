"""From what a request says to decided settings: `x_rlsd`, OpenAI's hyperparameters, preset, default; the first wins."""

import math
from typing import Any

from pydantic import ValidationError

from backend.errors import AppError
from backend.jobs.methods import METHODS, MethodName
from backend.jobs.request import Hyperparameters, Reinforcement, first_problem
from backend.jobs.spec import PRESETS, Preset, RlsdSettings

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
    asked = given.get("method", MethodName.RLSD)
    facts = next((facts for name, facts in METHODS.items() if name == asked), None)  # an unknown one is refused below
    values = {**(facts.defaults if facts else {}), **PRESETS[preset], **given}
    if facts is not None and facts.hint is not None:
        values["hint"] = given.get("hint", facts.hint)  # what it is defined with, whatever the preset
    if "batch_size" not in given and request.hyperparameters.batch_size == "auto":
        values["batch_size"] = _fitting_batch(values, row_count=row_count)
    for name, value in _from_hyperparameters(request.hyperparameters, values, row_count=row_count).items():
        if name in given and given[name] != value:
            raise AppError(
                f"{name} is {given[name]!r} in x_rlsd, and {value!r} follows from hyperparameters: say it in one of "
                "the two.",
                param=f"{X_RLSD}.{name}",
            )
        values[name] = value
    try:
        settings = RlsdSettings.model_validate(values)
    except ValidationError as error:
        raise first_problem(error, prefix=X_RLSD) from None
    _require_sense(settings)
    if settings.batch_size > row_count:
        raise AppError(
            f"batch_size {settings.batch_size} is more than the {row_count} rows to train on: make it {row_count} or "
            "less.",
            code="invalid_value",
            param=_said_by(request, "batch_size"),
        )
    return settings


def _fitting_batch(values: dict[str, Any], *, row_count: int) -> int:
    """The default, or as many as there are rows to train on, shared out evenly among the devices."""
    batch_size: int = values.get("batch_size", RlsdSettings.model_fields["batch_size"].default)
    devices = values.get("devices", 1)
    if row_count >= batch_size or type(devices) is not int or devices < 1:
        return batch_size
    return max(1, row_count - row_count % devices)


def _said_by(request: Reinforcement, name: str) -> str:
    return f"{X_RLSD if name in request.x_rlsd else HYPERPARAMETERS}.{name}"


def _require_sense(settings: RlsdSettings) -> None:
    """Settings that are each in range and make no sense together. Raises AppError naming one of them."""
    method, facts = settings.method, METHODS[settings.method]
    if facts.hint is not None and settings.hint is not facts.hint:
        raise AppError(
            f"The method {method} is defined with the hint '{facts.hint}', not '{settings.hint}': leave hint out, or "
            "use the method opsd, which takes any.",
            param=f"{X_RLSD}.hint",
        )
    if facts.contrast is not None and settings.hint is facts.contrast:
        raise AppError(
            f"The method {method} compares its hint with '{facts.contrast}', so with that as its hint it would compare "
            "a thing with itself: choose another hint.",
            param=f"{X_RLSD}.hint",
        )
    if facts.teacher == "external" and settings.teacher_model is None:
        raise AppError(
            f"The method {method} imitates a larger model: name it in teacher_model.", param=f"{X_RLSD}.teacher_model"
        )
    if facts.teacher != "external" and settings.teacher_model is not None:
        raise AppError(
            f"teacher_model is for the method opd, which imitates another model; {method} does not: leave it out.",
            param=f"{X_RLSD}.teacher_model",
        )
    if settings.divergence != "sampled" and not facts.distils:
        those = ", ".join(name for name, other in METHODS.items() if other.distils)
        raise AppError(
            f"divergence '{settings.divergence}' is for methods that imitate ({those}), and {method} does not: leave "
            "it out.",
            param=f"{X_RLSD}.divergence",
        )
    if settings.resample_rounds > 0 and not facts.rewarded:
        raise AppError(
            f"resample_rounds replaces questions whose completions all scored the same, and {method} does not learn "
            "from scores: set it to 0.",
            param=f"{X_RLSD}.resample_rounds",
        )
    if settings.batch_size % settings.devices:
        raise AppError(
            f"batch_size {settings.batch_size} cannot be shared out evenly among devices {settings.devices}: make it a "
            f"multiple of {settings.devices}.",
            param=f"{X_RLSD}.batch_size",
        )
    if settings.sharding == "sharded" and settings.devices == 1:
        raise AppError(
            "sharding 'sharded' gives each device a slice of the model: set devices to 2 or more, or leave it out.",
            param=f"{X_RLSD}.sharding",
        )
    if settings.generator == "vllm" and settings.devices > 1:
        raise AppError(
            "generator 'vllm' samples on one device only: set devices to 1, or generator to 'transformers'.",
            param=f"{X_RLSD}.generator",
        )


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
            raise AppError("batch_size must be a whole number, 1 or more.", param=f"{X_RLSD}.batch_size")
        said["max_steps"] = math.ceil(hyper.n_epochs * row_count / batch_size)
    return said
