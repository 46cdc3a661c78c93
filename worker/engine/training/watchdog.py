"""Owns the watch over a run's steps for what a person must hear of: nothing to learn from, nobody heard, nothing said.

What lasts for several steps is counted in streaks, which a checkpoint keeps: a run that is put elsewhere every few
steps is watched like any other.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from worker.engine.methods.base import Method
from worker.engine.observer import Observer, StepReport
from worker.engine.settings import Settings

LONG = 5
"""Steps running after which is told what a single step may well show."""
MOSTLY_UNHEARD = 0.9
MOSTLY_EMPTY = 0.5
FAULTS = ("abstained", "errored", "timed_out")
SHARES = ("groups_all_right", "groups_all_wrong", "unheard", "hint_too_long", "empty", *FAULTS)
"""Metrics of which a streak keeps the mean."""


class NoSignal(Exception):  # noqa: N818 - it is how a run ends, not an error of ours
    """Nothing can be learnt from the scores."""


@dataclass(slots=True)
class Streak:
    """Steps running that have something in common."""

    steps: int = 0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SHARES, 0.0))

    def add(self, metrics: Mapping[str, float]) -> None:
        """One step more."""
        self.steps += 1
        self.sums = {name: value + metrics.get(name, 0.0) for name, value in self.sums.items()}

    def mean(self, *names: str) -> float:
        """The share of what has any of these names, which exclude each other."""
        return sum(self.sums[name] for name in names) / self.steps


@dataclass(slots=True)
class Watchdog:
    """What the latest steps have in common."""

    settings: Settings
    method: Method
    streaks: dict[str, Streak] = field(default_factory=dict)
    """By the code of the event that tells of them."""
    told: set[str] = field(default_factory=set)

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, as plain JSON."""
        return {code: asdict(streak) for code, streak in self.streaks.items()}

    def recall(self, kept: Mapping[str, Any]) -> None:
        """Go on as the one that was kept."""
        self.streaks = {code: Streak(**streak) for code, streak in kept.items()}

    def look(self, report: StepReport, *, observer: Observer) -> None:
        """Tell what is to be told of the step. NoSignal after `max_dead_steps` steps running without any signal.

        Not where the run is at its end anyway. Whoever resumes a run after that has it wait for as many again.
        """
        self._look_for_empty(report, observer=observer)
        self._look_for_unheard(report, observer=observer)
        equal, rewarded, limit = report.metrics["groups_mixed"] == 0, self.method.rewarded, self.settings.max_dead_steps
        alike = self._streak("equal_scores", report, holds=equal and not rewarded)
        if alike.steps == limit > 0:
            self._tell("equal_scores", f"{_equal(alike)}. {self._why_it_goes_on()}", observer=observer)
        dead = self._streak("no_signal", report, holds=equal if rewarded else report.metrics["skipped"] == 1)
        if dead.steps >= limit > 0 and report.step < self.settings.max_steps:
            del self.streaks["no_signal"]
            raise NoSignal(self._why_it_stops(dead))

    def _look_for_empty(self, report: StepReport, *, observer: Observer) -> None:
        streak = self._streak("empty_completions", report, holds=report.metrics["empty"] >= MOSTLY_EMPTY)
        if report.metrics["empty"] == 1:
            found = f"Every completion of step {report.step} is empty"
        elif streak.steps == LONG:
            found = f"In {LONG} steps running {streak.mean('empty'):.0%} of the completions were empty"
        else:
            return
        self._tell(
            "empty_completions",
            f"{found}: the model ends its turn at once. Is it instruction-tuned, and does its chat template fit? A "
            "lower temperature may help as well.",
            observer=observer,
        )

    def _look_for_unheard(self, report: StepReport, *, observer: Observer) -> None:
        if "unheard" not in report.metrics:  # nobody was asked
            return
        streak = self._streak("teacher_unheard", report, holds=report.metrics["unheard"] >= MOSTLY_UNHEARD)
        if streak.steps == LONG:
            kept = "kept the advantage of the whole completion, as with grpo"
            meant = kept if self.method.rewarded else "taught nothing"
            self._tell("teacher_unheard", f"{_unheard(streak)}. These {meant}.", observer=observer)

    def _streak(self, code: str, report: StepReport, *, holds: bool) -> Streak:
        """The streak after this step; an empty one where it ends here."""
        if not holds:
            self.streaks.pop(code, None)
            return Streak()
        streak = self.streaks.setdefault(code, Streak())
        streak.add(report.metrics)
        return streak

    def _tell(self, code: str, message: str, *, observer: Observer) -> None:
        if code not in self.told:
            self.told.add(code)
            observer.event(level="warn", code=code, message=message)

    def _why_it_goes_on(self) -> str:
        return f"The method {self.method.name} learns from its teacher alone, so the run goes on."

    def _why_it_stops(self, dead: Streak) -> str:
        waited = "max_dead_steps says how many steps are waited."
        if not self.method.rewarded:
            return f"{_unheard(dead)}. So nothing was learned; {waited}"
        return (
            f"{_equal(dead)}. If most are right, take harder questions; if most are wrong, easier ones, a stronger "
            "model, or a verifier that gives partial credit; if most have no score, see why the verifier gives none. "
            f"{waited}"
        )


def _equal(streak: Streak) -> str:
    return (
        f"In {streak.steps} steps running no question had completions that scored differently "
        f"({streak.mean('groups_all_right'):.0%} of the questions all right, {streak.mean('groups_all_wrong'):.0%} all "
        f"wrong, {streak.mean(*FAULTS):.0%} of the completions without a score)"
    )


def _unheard(streak: Streak) -> str:
    unheard, too_long = streak.mean("unheard"), streak.mean("hint_too_long")
    return (
        f"In {streak.steps} steps running the teacher had no word on {unheard:.0%} of the completions: "
        f"for {max(0.0, unheard - too_long):.0%} the group held no sibling to show (raise num_generations, or "
        f"choose another hint or method), for {too_long:.0%} each was too long for max_prompt_tokens or the model's "
        "context (raise max_prompt_tokens, or lower max_completion_tokens)"
    )
