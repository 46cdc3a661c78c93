"""The interface between a run and its surroundings: the observer and the reports it receives."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from backend.core.control import ControlSignal, EventLevel
from backend.core.statistics import Interval
from worker.engine.distributed import ProcessGroup
from worker.engine.evaluation.evaluate import PairedComparison
from worker.engine.types import QuestionScores, Score, Selection

Phase = Literal["baseline", "warm", "interim", "trained"]
"""When an evaluation is made: before the first step, after the warm start, in between, after the last step."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint for the observer to store."""

    step: int
    """Optimizer steps taken."""
    data: bytes
    """One safetensors file."""
    score: float | None
    """Mean of the held-out evaluation at this step, if there was one: over the questions that choose, if some do."""
    kept_step: int | None
    """The step whose adapter is the best so far, where the best is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReport:
    """Per-token numbers of one rollout, in lists of equal length."""

    ids: list[int]
    text: list[str]
    logp_student: list[float]
    """`log P_S`; for a skipped rollout, the log-probability at sampling."""
    logp_teacher: list[float] | None
    """`log P_T`; None where no teacher scored the rollout."""
    logp_contrast: list[float] | None
    """The same under the method's second hint (the mean probability of several); None without one."""
    delta: list[float] | None
    """The method's `delta_t`; None where `logp_teacher` is None."""
    weight: list[float]
    """`w^_t`."""
    advantage: list[float]
    """`A^_t`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutReport:
    """One completion of a step."""

    row: int
    sample: int
    """Index among the prompt's samples, from 0."""
    completion: str
    record: Score
    advantage: float
    truncated: bool
    hint: str | None
    """What its prompt contained, in practice; None for a completion of the question alone."""
    tokens: TokenReport | None
    """Set for a sampled share of the rollouts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One optimizer step."""

    step: int
    """From 1, those of a warm start included."""
    metrics: dict[str, float]
    """By the names in `metrics.py`; undefined metrics are left out."""
    rollouts: list[RolloutReport]
    """Empty in a step of imitation."""
    warm_steps: int = 0
    """Steps of the run's warm start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """avg@k on the held-out questions, or on those that measure, where others choose which step is kept."""

    step: int
    """Optimizer steps taken before it."""
    phase: Phase
    mean: float
    low: float
    high: float
    n: int
    """Questions with a score."""
    k: int
    """Samples per question."""
    completions: int
    unscored: int
    """Completions without a score (abstention, error, timeout), which are left out of the mean."""
    per_question: list[QuestionScores]
    p_value: float | None
    """Against the baseline; None for the baseline itself."""
    difference: Interval | None
    """Against the baseline; None for the baseline itself."""
    since_warm_start: PairedComparison | None
    """Against the evaluation after the warm start; None before it and without one."""
    selection: Selection | None
    """On the questions that choose which step is kept; None where the last is."""
    seconds: float = field(compare=False)
    """Duration; not compared, since it differs between equal runs."""

    @property
    def left_out(self) -> str:
        """How many completions had no score, to append to a sentence; empty if all had one."""
        return f"; {self.unscored} of {self.completions} samples had no score" if self.unscored else ""

    @property
    def chosen_by(self) -> str:
        """The score on the questions that choose which step is kept, to append to a sentence; empty if none do."""
        selection = self.selection
        return f"; {selection['mean']:.3f} on the {selection['n']} questions that choose" if selection else ""


class Observer(Protocol):
    """Receiver of a run's reports, which also controls whether the run continues."""

    def control_signal(self) -> ControlSignal:
        """Return the current command; called between steps and between batches of an evaluation."""

    def step(self, report: StepReport) -> None:
        """Receive the report of an optimizer step."""

    def evaluation(self, report: EvaluationReport) -> None:
        """Receive the report of an evaluation."""

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint."""

    def event(self, *, level: EventLevel, code: str, message: str) -> None:
        """Record an event for the user."""


@dataclass(frozen=True, slots=True)
class SharedObserver:
    """The leader's observer as seen by every process of a run, so that all stop at the same step."""

    observer: Observer
    world: ProcessGroup

    def control_signal(self) -> ControlSignal:
        """Return the signal that the leader received."""
        return self.world.broadcast(self.observer.control_signal() if self.world.is_leader else ControlSignal.RUN)

    def step(self, report: StepReport) -> None:
        """Report from the leader only."""
        if self.world.is_leader:
            self.observer.step(report)

    def evaluation(self, report: EvaluationReport) -> None:
        """Report from the leader only."""
        if self.world.is_leader:
            self.observer.evaluation(report)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Report from the leader only."""
        if self.world.is_leader:
            self.observer.checkpoint(checkpoint)

    def event(self, *, level: EventLevel, code: str, message: str) -> None:
        """Report from the leader only."""
        if self.world.is_leader:
            self.observer.event(level=level, code=code, message=message)


class SilentObserver:
    """An observer that discards all reports."""

    def control_signal(self) -> ControlSignal:
        return ControlSignal.RUN

    def step(self, report: StepReport) -> None:
        pass

    def evaluation(self, report: EvaluationReport) -> None:
        pass

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        pass

    def event(self, *, level: str, code: str, message: str) -> None:
        pass
