"""A job's settings as widget states of the new-job form, by widget key. Pure."""

from typing import Any

from frontend.api.types import JobObject, Json
from frontend.words.job_settings import ASKING, MAIN, NESTED, OFFERED, SECTIONS, Setting

FROM_HYPERPARAMETERS = ("max_steps", "batch_size", "learning_rate", "eval_interval", "eval_samples")
"""Settings that a program may have sent in OpenAI's `hyperparameters` instead."""
MAX_NAME = 64


def requested_settings(job: JobObject, *, defaults: Json) -> Json:
    """Return the settings in the job's request, with hyperparameters as settings. `defaults`: by setting name."""
    reinforcement: Json = job["method"]["reinforcement"]
    requested: Json = dict(reinforcement.get("x_asked", {}))
    for name in FROM_HYPERPARAMETERS:
        value = reinforcement["x_rlsd"][name]
        if name not in requested and value != defaults.get(name):
            requested[name] = value
    return requested


def widget_states(requested: Json) -> dict[str, Any]:
    """Return the states of the settings' fields: `told_…`, `main_…`, `set_…`, `set_warm_start_…`, `set_practice_…`."""
    found: dict[str, Any] = {"practise": requested.get("practice") is not None}
    sections = [setting for section in SECTIONS.values() for setting in section]
    for prefix, settings, given in (
        ("told", ASKING, requested),
        ("main", MAIN, requested),
        ("set", sections, requested),
        *((f"set_{name}", section, requested.get(name) or {}) for name, section in NESTED.items()),
    ):
        for setting in settings:
            value = given.get(setting.name)
            if value is not None:
                found[f"{prefix}_{setting.name}"] = _state(setting, value)
    return found


def without_field(requested: Json) -> Json:
    """Return the settings that have no field; the new job takes them over unchanged."""
    left = {
        name: value
        for name, value in requested.items()
        if name not in OFFERED.keys() | NESTED.keys() | {"preset", "method"}
    }
    for name, section in NESTED.items():
        offered = {setting.name for setting in section}
        inner = {key: value for key, value in (requested.get(name) or {}).items() if key not in offered}
        left |= {name: inner} if inner else {}
    return left


def merged(x_rlsd: Json, left: Json) -> Json:
    """Merge settings with those that have no field, including those within a setting."""
    return {**left, **x_rlsd} | {
        name: {**left[name], **x_rlsd[name]} for name in NESTED if name in left and name in x_rlsd
    }


def next_name(name: str | None) -> str:
    """Return the next name: `invoices-1` -> `invoices-2`, `first` -> `first-2`; empty if the job has none."""
    if not name:
        return ""
    stem, dash, number = name.rpartition("-")
    if dash and number.isdecimal():
        return f"{stem}-{int(number) + 1}"[:MAX_NAME]
    return f"{name[: MAX_NAME - 2]}-2"


def _state(setting: Setting, value: Any) -> Any:
    if setting.kind == "yes_no":
        return "yes" if value else "no"
    if setting.name == "scale_rewards" and isinstance(value, bool):  # also accepted by the API
        return "std" if value else "none"
    if setting.kind == "pair":
        return ", ".join(f"{number:g}" for number in value) if isinstance(value, list) else f"{value:g}"
    if setting.kind == "whole":
        return int(value)
    return float(value) if setting.kind == "number" else str(value)
