"""Owns the watch over a run's steps for what a person must hear of: nothing to learn from, nothing written."""

from dataclasses import dataclass, field

from worker.engine.report import Observer, StepReport
from worker.engine.settings import Settings


class NoSignal(Exception):  # noqa: N818 - it is how a run ends, not an error of ours
    """Nothing can be learnt from the scores."""


@dataclass(slots=True)
class Vigil:
    """What the steps so far have in common. It starts afresh whenever a run is resumed."""

    settings: Settings
    dead: list[dict[str, float]] = field(default_factory=list)
    """Metrics of the latest steps running in which no completion had any signal."""
    told_of_empty: bool = False

    def look(self, report: StepReport, *, observer: Observer) -> None:
        """NoSignal after `max_dead_steps` steps running without any signal, unless the run is at its end anyway."""
        self._look_for_empty(report, observer=observer)
        limit = self.settings.max_dead_steps
        self.dead = [*self.dead, report.metrics] if limit > 0 and report.metrics["skipped"] == 1 else []
        if len(self.dead) == limit > 0 and report.step < self.settings.max_steps:
            raise NoSignal(self._in_words())

    def _look_for_empty(self, report: StepReport, *, observer: Observer) -> None:
        if report.metrics["empty"] == 1 and not self.told_of_empty:
            self.told_of_empty = True
            observer.event(
                level="warn",
                code="empty_completions",
                message=f"Every completion of step {report.step} is empty: the model ends its turn at once. Is it "
                "instruction-tuned, and does its chat template fit? A lower temperature may help as well.",
            )

    def _in_words(self) -> str:
        def share(name: str) -> float:
            return sum(metrics[name] for metrics in self.dead) / len(self.dead)

        return (
            f"In {len(self.dead)} steps running no completion had any signal: all of a question's scored the same "
            f"({share('groups_all_right'):.0%} of the questions all right, {share('groups_all_wrong'):.0%} all wrong). "
            "If most are right, take harder questions; if most are wrong, easier ones, a stronger model, or a verifier "
            "that gives partial credit. max_dead_steps says how many steps are waited."
        )
