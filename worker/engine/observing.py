"""Owns who speaks to the observer where several processes are one run: the leader does, and all heed what it hears."""

from dataclasses import dataclass

from worker.engine.checkpoint import Checkpoint
from worker.engine.report import EvaluationReport, Observer, StepReport
from worker.engine.types import Wish
from worker.engine.world import World


@dataclass(frozen=True, slots=True)
class SharedObserver:
    """The leader's observer, as every process of the run meets it: all stop at the same moment."""

    observer: Observer
    world: World

    def wish(self) -> Wish:
        """What the leader was told."""
        return self.world.as_leader(self.observer.wish() if self.world.leads else Wish.CONTINUE)

    def step(self, report: StepReport) -> None:
        """Told by the leader alone."""
        if self.world.leads:
            self.observer.step(report)

    def evaluation(self, report: EvaluationReport) -> None:
        """Told by the leader alone."""
        if self.world.leads:
            self.observer.evaluation(report)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Told by the leader alone."""
        if self.world.leads:
            self.observer.checkpoint(checkpoint)

    def event(self, *, level: str, code: str, message: str) -> None:
        """Told by the leader alone."""
        if self.world.leads:
            self.observer.event(level=level, code=code, message=message)
