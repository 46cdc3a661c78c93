"""Resolution of a request's settings. Precedence: `x_rlsd`, OpenAI's hyperparameters, preset, default."""

import math
from typing import Any

from pydantic import ValidationError

from backend.core.methods import METHODS, Method, MethodName
from backend.core.settings.choices import Preset
from backend.core.settings.contradictions import contradiction
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
    values = {**(facts.defaults if facts else {}), **PRESETS[preset].values, **given}
    if facts is not None and facts.hint is not None:
        values["hint"] = given.get("hint", facts.hint)  # fixed by the method, whatever the preset
    if "batch_size" not in given and request.hyperparameters.batch_size == "auto":
        values["batch_size"] = _fitting_batch(values, row_count=row_count)
    derived = _from_hyperparameters(request.hyperparameters, values, method=facts, row_count=row_count)
    for name, value in derived.items():
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
    if found := contradiction(settings):
        raise AppError(found.sentence, param=f"{X_RLSD}.{found.setting}")
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


def _from_hyperparameters(
    hyper: Hyperparameters, values: dict[str, Any], *, method: Method | None, row_count: int
) -> dict[str, Any]:
    derived: dict[str, Any] = {
        name: value
        for name in ("batch_size", "eval_interval", "eval_samples")
        if (value := getattr(hyper, name)) != "auto"
    }
    if hyper.learning_rate_multiplier != "auto":
        usual = RlsdSettings.model_fields["learning_rate"].default
        own = usual if method is None else method.defaults.get("learning_rate", usual)
        derived["learning_rate"] = own * hyper.learning_rate_multiplier
    if hyper.n_epochs != "auto":
        batch_size = derived.get(
            "batch_size", values.get("batch_size", RlsdSettings.model_fields["batch_size"].default)
        )
        if not isinstance(batch_size, int) or batch_size < 1:
            raise AppError("batch_size must be a whole number, 1 or more.", param=f"{X_RLSD}.batch_size")
        derived["max_steps"] = math.ceil(hyper.n_epochs * row_count / batch_size)
    return derived
