"""The budget of a run besides its steps: tokens, or seconds of its devices."""

from collections.abc import Mapping

from backend.core.settings.choices import BudgetUnit
from worker.engine.settings import Settings

TOKEN_METRICS = ("rollout_tokens", "teacher_tokens", "update_tokens")
"""Metrics that count towards a token budget: tokens sampled, scored by the teacher, trained on."""


def step_usage(metrics: Mapping[str, float], *, unit: BudgetUnit, devices: int) -> float:
    """Return the budget that a step with these metrics used on this number of devices."""
    if unit == "steps":
        return 1.0
    if unit == "tokens":
        return sum(metrics[name] for name in TOKEN_METRICS)
    return metrics["step_s"] * devices


def is_used_up(used: float, *, settings: Settings) -> bool:
    """Check whether the budget allows no further step."""
    return 0 < settings.budget <= used


def budget_message(settings: Settings, *, step: int, last_step: int) -> str:
    """Return the message for a run that its budget ends before the last step."""
    return f"The budget of {settings.budget:,.0f} {settings.budget_unit} is used up after {step} of {last_step} steps."
