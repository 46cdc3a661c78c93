"""Owns what a run tells the outside: the observer it speaks to and the reports it hands over."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from worker.engine.distributed import ProcessGroup
from worker.engine.evaluation.statistics import Interval
from worker.engine.types import ControlSignal, QuestionScores, Score


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on its way out."""

    step: int
    """Optimizer steps taken."""
    data: bytes
    """One safetensors file."""
    score: float | None
    """Mean of the held-out evaluation at this step, if there was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReport:
    """The numbers of one rollout's tokens: lists of one length."""

    ids: list[int]
    text: list[str]
    logp_student: list[float]
    """`log P_S`; for a rollout that was skipped the log-probability at sampling."""
    logp_teacher: list[float] | None
    """`log P_T`; None where the teacher was not asked or had no word."""
    logp_contrast: list[float] | None
    """The same under the method's second hint, their mean probability where there are several; None without one."""
    delta: list[float] | None
    """The method's own `delta_t`; None where `logp_teacher` is."""
    weight: list[float]
    """`w^_t`."""
    advantage: list[float]
    """`A^_t`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutReport:
    """One completion of a step."""

    row: int
    sample: int
    """Which of the prompt's samples, from 0."""
    completion: str
    record: Score
    advantage: float
    truncated: bool
    tokens: TokenReport | None
    """Kept for a sampled share of the rollouts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One optimizer step."""

    step: int
    """Counted from 1."""
    metrics: dict[str, float]
    """Named in `metrics.py`; a number that is undefined in this step is left out."""
    rollouts: list[RolloutReport]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """avg@k on the held-out questions."""

    step: int
    """Optimizer steps taken before it."""
    phase: Literal["baseline", "interim", "trained"]
    mean: float
    low: float
    high: float
    n: int
    """Questions with a score."""
    k: int
    """Samples a question."""
    per_question: list[QuestionScores]
    p_value: float | None
    """Against the baseline; None for the baseline itself."""
    difference: Interval | None
    """Against the baseline; None for the baseline itself."""
    seconds: float = field(compare=False)
    """What it took; no two runs agree on it."""


class Observer(Protocol):
    """Whoever runs a run: hears what happens and says whether to go on."""

    def wish(self) -> ControlSignal:
        """Asked between steps and between batches of an evaluation."""

    def step(self, report: StepReport) -> None:
        """After each optimizer step."""

    def evaluation(self, report: EvaluationReport) -> None:
        """After each evaluation."""

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """A state to keep."""

    def event(self, *, level: str, code: str, message: str) -> None:
        """Something a person should know; `level` is "info", "warn" or "error"."""


@dataclass(frozen=True, slots=True)
class SharedObserver:
    """The leader's observer, as every process of the run meets it: all stop at the same moment."""

    observer: Observer
    world: ProcessGroup

    def wish(self) -> ControlSignal:
        """What the leader was told."""
        return self.world.as_leader(self.observer.wish() if self.world.leads else ControlSignal.CONTINUE)

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
