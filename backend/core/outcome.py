"""What training changed, as one verdict: the only rule, for jobs, models and comparisons. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from backend.core.statistics import Interval

ALPHA = 0.05


class Verdict(StrEnum):
    """The verdict on held-out questions."""

    BETTER = "better"
    """Better than the base model."""
    UNDECIDED = "undecided"
    """No difference was shown."""
    WORSE = "worse"
    """Worse than the base model."""
    NOTHING_LEARNED = "nothing_learned"
    """No token was trained on: the adapter has no effect."""
    IMITATION_ENOUGH = "imitation_enough"
    """Better than the base model, but training added nothing to the warm start."""


def shown(difference: Interval, *, p: float) -> Verdict:
    """Return better or worse if both the interval and the test exclude zero, else undecided.

    The two can disagree: where few answers differ, the interval may exclude zero by chance alone.
    """
    if p >= ALPHA or difference["low"] <= 0 <= difference["high"]:
        return Verdict.UNDECIDED
    return Verdict.BETTER if difference["mean"] > 0 else Verdict.WORSE


def verdict_of(evaluations: Mapping[str, Mapping[str, Any]], *, learned: bool, imitates: bool) -> Verdict | None:
    """Judge a run by its evaluations by phase, as JSON; None before the last one.

    `learned`: whether any token was trained on; `imitates`: whether its method imitates, as a warm start does.
    """
    if not learned:
        return Verdict.NOTHING_LEARNED
    trained = evaluations.get("trained", {})
    if trained.get("difference") is None:
        return None
    overall, since = _shown(trained), trained.get("since_warm_start")
    if overall is Verdict.BETTER and since is not None and not imitates and _shown(since) is not Verdict.BETTER:
        return Verdict.IMITATION_ENOUGH
    return overall


def _shown(compared: Mapping[str, Any]) -> Verdict:
    return shown(compared["difference"], p=compared["p_value"])
