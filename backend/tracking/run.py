"""What a tracker is told of a run, and what it has to be able to do."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """A job: `settings` are flat, a dot between the parts of a name."""

    id: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Finite numbers of a step, or of an evaluation after it; `at` in Unix seconds."""

    step: int
    at: float
    values: dict[str, float]
    of_evaluation: bool = False


class Tracker(Protocol):
    """One run at one tracker. Each method may take long, and raise whatever the tracker's library raises.

    A process that goes on with a run tells it from its first step on, for what another has told may have been lost with
    it, or have been taken back; the tracker sees to it that each step is kept once.
    """

    def begin(self, run: TrackedRun) -> None:
        """Go on with the run where the tracker knows it, else make it."""

    def tell(self, figures: Figures) -> None:
        """In the order of the steps."""

    def end(self, *, finished: bool) -> None:
        """All has been told. `finished`: the run has come to its end, and did not merely stop."""


def step_figures(step: int, metrics: Mapping[str, float | None], *, at: float) -> Figures:
    """Of one optimizer step, under the names of the metrics."""
    return Figures(step=step, at=at, values=_finite(metrics))


def evaluation_figures(result: Mapping[str, Any], *, at: float) -> Figures:
    """Of held-out questions: an evaluation as JSON."""
    named = {f"evaluation/{name}": result.get(name) for name in ("mean", "low", "high", "n", "p_value")}
    return Figures(step=result["step"], at=at, values=_finite(named), of_evaluation=True)


def flat(settings: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level: `lora.r`."""
    return dict(_flat(settings, prefix))


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
