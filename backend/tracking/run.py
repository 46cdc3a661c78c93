"""The interface of trackers, and the data logged for a run."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """The job as logged. `settings` are flat, with dotted names."""

    id: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The finite metrics of a step, or of an evaluation after it; `at` in Unix seconds."""

    step: int
    at: float
    values: dict[str, float]
    of_evaluation: bool = False


class Tracker(Protocol):
    """A run at a tracker. Each method may be slow, and may raise whatever the tracker's library raises.

    A process that resumes a run logs it from its first step on, since what an earlier process logged may be lost or
    discarded; the tracker ensures that each step is kept once.
    """

    def begin(self, run: TrackedRun) -> None:
        """Resume the run if the tracker knows it, else create it."""

    def log(self, figures: Figures) -> None:
        """Log figures; called in the order of the steps."""

    def end(self, *, finished: bool) -> None:
        """End the run. `finished`: it is complete, not merely interrupted."""


def step_figures(step: int, metrics: Mapping[str, float | None], *, at: float) -> Figures:
    """Return the figures of an optimizer step, under the names of its metrics."""
    return Figures(step=step, at=at, values=_finite(metrics))


def evaluation_figures(result: Mapping[str, Any], *, at: float) -> Figures:
    """Return the figures of a held-out evaluation, given as JSON."""
    named = {f"evaluation/{name}": result.get(name) for name in ("mean", "low", "high", "n", "unscored", "p_value")}
    return Figures(step=result["step"], at=at, values=_finite(named), of_evaluation=True)


def is_repeated(result: Mapping[str, Any]) -> bool:
    """Return whether an evaluation repeats an earlier one: the result of a run that keeps its best step."""
    return result.get("phase") == "trained" and result.get("selection") is not None


def flat(settings: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted names: `lora.r`."""
    return dict(_flat(settings, prefix))


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
