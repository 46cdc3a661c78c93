"""A job's settings as the form of a new job holds them: the state of its widgets by their keys. Pure."""

from typing import Any

from frontend.api.types import Job, Json
from frontend.words.job_settings import ADAPTER, MAIN, SECTIONS, Setting

FROM_HYPERPARAMETERS = ("max_steps", "batch_size", "learning_rate", "eval_interval", "eval_samples")
"""What a program may have said in OpenAI's `hyperparameters` instead."""
MAX_NAME = 64


def asked_of(job: Job, *, defaults: Json) -> Json:
    """What the job's request said, hyperparameters written as settings. `defaults`: of the settings, by name."""
    reinforcement: Json = job["method"]["reinforcement"]
    asked: Json = dict(reinforcement.get("x_asked", {}))
    for name in FROM_HYPERPARAMETERS:
        value = reinforcement["x_rlsd"][name]
        if name not in asked and value != defaults.get(name):
            asked[name] = value
    return asked


def widget_states(asked: Json) -> dict[str, Any]:
    """Of the settings' fields: `main_…`, `set_…`, `set_lora_…`."""
    found: dict[str, Any] = {}
    sections = [setting for _, section in SECTIONS for setting in section]
    for prefix, settings, said in (
        ("main", MAIN, asked),
        ("set", sections, asked),
        ("set_lora", ADAPTER, asked.get("lora", {})),
    ):
        for setting in settings:
            value = said.get(setting.name)
            if value is not None:
                found[f"{prefix}_{setting.name}"] = _state(setting, value)
    return found


def not_offered(asked: Json) -> Json:
    """What was said and has no field: it goes along as it is."""
    names = {setting.name for setting in (*MAIN, *(setting for _, section in SECTIONS for setting in section))}
    left = {name: value for name, value in asked.items() if name not in names | {"preset", "method", "lora"}}
    adapter = {setting.name for setting in ADAPTER}
    lora = {name: value for name, value in asked.get("lora", {}).items() if name not in adapter}
    return left | ({"lora": lora} if lora else {})


def with_left(x_rlsd: Json, left: Json) -> Json:
    """Settings with those that have no field; the adapter's are joined."""
    joined = {**left, **x_rlsd}
    if "lora" in left and "lora" in x_rlsd:
        joined["lora"] = {**left["lora"], **x_rlsd["lora"]}
    return joined


def next_name(name: str | None) -> str:
    """`invoices-1` -> `invoices-2`, `first` -> `first-2`; empty where the job has none."""
    if not name:
        return ""
    stem, dash, number = name.rpartition("-")
    if dash and number.isdecimal():
        return f"{stem}-{int(number) + 1}"[:MAX_NAME]
    return f"{name[: MAX_NAME - 2]}-2"


def _state(setting: Setting, value: Any) -> Any:
    if setting.kind == "yes_no":
        return "yes" if value else "no"
    if setting.kind == "pair":
        return ", ".join(f"{number:g}" for number in value) if isinstance(value, list) else f"{value:g}"
    if setting.kind == "whole":
        return int(value)
    return float(value) if setting.kind == "number" else str(value)
