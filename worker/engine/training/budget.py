"""Owns what a run may use before it ends, beside its steps: tokens, or seconds of its devices."""

from collections.abc import Mapping

from worker.engine.settings import Settings
from worker.engine.types import Budget

TOKENS = ("rollout_tokens", "teacher_tokens", "update_tokens")
"""What a step is counted by: written, read by the teacher, trained on."""


def used_by(metrics: Mapping[str, float], *, unit: str, devices: int) -> float:
    """What a step with these metrics has used, on so many devices."""
    if unit == Budget.STEPS:
        return 1.0
    if unit == Budget.TOKENS:
        return sum(metrics[name] for name in TOKENS)
    return metrics["step_s"] * devices


def is_used_up(used: float, *, settings: Settings) -> bool:
    """Whether no further step is begun."""
    return 0 < settings.budget <= used


def in_words(settings: Settings, *, step: int) -> str:
    """What ends a run before its last step."""
    return (
        f"The budget of {settings.budget:,.0f} {settings.budget_unit} is used up after {step} of {settings.max_steps} "
        "steps."
    )
