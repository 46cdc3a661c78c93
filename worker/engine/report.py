"""Owns what a run tells the outside: the observer it speaks to and the reports it hands over."""

import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch

from worker.engine.checkpoint import Checkpoint
from worker.engine.evaluate import QuestionScores
from worker.engine.faults import memory_named
from worker.engine.intervals import Interval
from worker.engine.types import Score, Wish

SPEAKS_OF_REFERENCE = re.compile(
    r"\bhint\b|\banswer[ -]key\b|\b(reference|given|provided) (answer|solution)\b"
    r"|\baccording to the reference\b|\bthe reference( (says|states|gives|shows|tells)\b| *([.,:;]|$))|^ *reference *:",
    re.IGNORECASE | re.MULTILINE,
)
"""Wording of a student that speaks of a reference it cannot see; not what it may well say unseen: a correct answer."""


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

    def wish(self) -> Wish:
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
class Stopwatch:
    """Seconds of each phase of a step, the device's work included."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside. Fault, naming the phase, when memory runs out there."""
        start = time.perf_counter()
        with memory_named(name):
            yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def device_name(device: torch.device) -> str:
    """What people call the kind of device: the GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def peak_memory_bytes(device: torch.device) -> float:
    """Most memory held so far: the device's where it has its own, else the process's."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
