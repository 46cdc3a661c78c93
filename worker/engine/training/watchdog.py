"""Warnings about a run's steps: no training signal, an unused teacher, empty completions.

Conditions over several steps are counted in streaks, which are checkpointed, so that frequent resumes do not reset
them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from backend.core.methods import Method
from worker.engine.observer import Observer, StepReport
from worker.engine.settings import Settings

STREAK_STEPS = 5
"""Consecutive steps before a warning about a condition that is harmless in a single step."""
UNHEARD_SHARE = 0.9
EMPTY_SHARE = 0.5
FAULTS = ("abstained", "errored", "timed_out")
SHARES = ("groups_all_right", "groups_all_wrong", "unheard", "hint_too_long", "empty", *FAULTS)
"""Metrics averaged over a streak."""


class NoSignal(Exception):  # noqa: N818 - a way for a run to end, not an error
    """The scores contain no training signal."""


@dataclass(slots=True)
class Streak:
    """Consecutive steps with a common condition."""

    steps: int = 0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SHARES, 0.0))

    def add(self, metrics: Mapping[str, float]) -> None:
        """Add a step."""
        self.steps += 1
        self.sums = {name: value + metrics.get(name, 0.0) for name, value in self.sums.items()}

    def mean(self, *names: str) -> float:
        """Return the mean of the sum of these metrics, shares that exclude each other."""
        return sum(self.sums[name] for name in names) / self.steps


@dataclass(slots=True)
class Watchdog:
    """Monitor of a run's steps, which warns once per condition."""

    settings: Settings
    method: Method
    streaks: dict[str, Streak] = field(default_factory=dict)
    """By event code."""
    reported: set[str] = field(default_factory=set)

    def state_dict(self) -> dict[str, Any]:
        """Return the state to checkpoint, as plain JSON."""
        return {code: asdict(streak) for code, streak in self.streaks.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore checkpointed state."""
        self.streaks = {code: Streak(**streak) for code, streak in state_dict.items()}

    def check(self, report: StepReport, *, observer: Observer) -> None:
        """Report warnings for this step; raise NoSignal after `max_dead_steps` consecutive steps without signal.

        Never raises at the last step. A run resumed afterwards gets `max_dead_steps` further steps.
        """
        self._check_empty(report, observer=observer)
        self._check_teacher(report, observer=observer)
        limit = self.settings.max_dead_steps
        uses_reward = self.method.rewarded and not self.method.values_tokens
        equal = self._streak("equal_scores", report, holds=report.metrics["groups_mixed"] == 0 and not uses_reward)
        if equal.steps == limit > 0:
            message = f"{self._equal_scores_text(equal)}. {self._reason_to_continue()}"
            self._warn("equal_scores", message, observer=observer)
        learns = any(each.advantage for each in report.rollouts) if uses_reward else report.metrics["skipped"] < 1
        dead = self._streak("no_signal", report, holds=not learns)
        if dead.steps >= limit > 0 and report.step < report.warm_steps + self.settings.max_steps:
            del self.streaks["no_signal"]
            raise NoSignal(self._reason_to_stop(dead))

    def _check_empty(self, report: StepReport, *, observer: Observer) -> None:
        streak = self._streak("empty_completions", report, holds=report.metrics["empty"] >= EMPTY_SHARE)
        if report.metrics["empty"] == 1:
            found = f"All completions of step {report.step} are empty"
        elif streak.steps == STREAK_STEPS:
            found = f"In {STREAK_STEPS} consecutive steps {streak.mean('empty'):.0%} of the completions were empty"
        else:
            return
        self._warn(
            "empty_completions",
            f"{found}: the model ends its turn immediately. Check that it is instruction-tuned and that its chat "
            "template is right. A lower temperature may also help.",
            observer=observer,
        )

    def _check_teacher(self, report: StepReport, *, observer: Observer) -> None:
        if "unheard" not in report.metrics:  # no teacher pass in this step, or no group that it is asked about
            return
        streak = self._streak("teacher_unheard", report, holds=report.metrics["unheard"] >= UNHEARD_SHARE)
        if streak.steps == STREAK_STEPS:
            kept = "kept the advantage of the whole completion, as in grpo"
            effect = kept if self.method.rewarded else "had no effect on the training"
            message = f"{_no_teacher_text(streak)}. These completions {effect}."
            self._warn("teacher_unheard", message, observer=observer)

    def _streak(self, code: str, report: StepReport, *, holds: bool) -> Streak:
        """Update and return the streak; an empty one if it ended with this step."""
        if not holds:
            self.streaks.pop(code, None)
            return Streak()
        streak = self.streaks.setdefault(code, Streak())
        streak.add(report.metrics)
        return streak

    def _warn(self, code: str, message: str, *, observer: Observer) -> None:
        if code not in self.reported:
            self.reported.add(code)
            observer.event(level="warn", code=code, message=message)

    def _reason_to_continue(self) -> str:
        if self.method.values_tokens:
            return (
                f"The method {self.method.name} learns also from questions that are never solved, so the run continues."
            )
        return f"The method {self.method.name} learns only from its teacher, so the run continues."

    def _reason_to_stop(self, dead: Streak) -> str:
        setting = "The setting max_dead_steps is the number of such steps before a run stops."
        if not self.method.rewarded:
            return f"{_no_teacher_text(dead)}. Nothing was learned, so the run stopped. {setting}"
        return (
            f"{self._equal_scores_text(dead)}. If most are right, use harder questions; if most are wrong, use easier "
            "ones, a stronger model, practice with a hint, or a verifier that gives partial credit; if most have no "
            f"score, check why the verifier gives none. {setting}"
        )

    def _equal_scores_text(self, streak: Streak) -> str:
        practised = "" if self.settings.practice is None else ", nor had any that was practised with a hint"
        practised += ", or those were cut off and left out" if self.settings.mask_truncated else ""
        return (
            f"In {streak.steps} consecutive steps no question had completions with different scores{practised} "
            f"({streak.mean('groups_all_right'):.0%} of the questions all right, "
            f"{streak.mean('groups_all_wrong'):.0%} all wrong, {streak.mean(*FAULTS):.0%} of the completions without a "
            "score)"
        )


def _no_teacher_text(streak: Streak) -> str:
    unheard, too_long = streak.mean("unheard"), streak.mean("hint_too_long")
    return (
        f"In {streak.steps} consecutive steps the teacher had no usable hint for {unheard:.0%} of the completions: "
        f"for {max(0.0, unheard - too_long):.0%} the group had no suitable sibling (raise num_generations, or choose "
        f"another hint or method), for {too_long:.0%} the sibling was too long for max_prompt_tokens or the model's "
        "context (raise max_prompt_tokens, or lower max_completion_tokens)"
    )
