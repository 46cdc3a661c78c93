# ruff: noqa: N815 - fields carry their tensor's shape
"""What a method is: a pure function from sampled-token log-probabilities to token advantages, and what it needs."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a method may look at."""

    advantages_B: Tensor
    """Group advantages."""
    student_logps_BT: Tensor
    """log-probabilities of the sampled tokens under the student, without gradient."""
    teacher_logps_BT: Tensor | None
    """The same under the teacher; None when no teacher pass was run."""
    mask_BT: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a method weighs what it sees; RLSD.md sections 1 and 6."""

    lam: float
    eps_low: float
    """Weights are at least `1 - eps_low`."""
    eps_high: float
    """Weights are at most `1 + eps_high`."""
    normalise: bool
    first_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What a method decided for each token. Outside the mask advantages and deltas are 0 and weights are 1."""

    advantages_BT: Tensor
    """`A^_t`."""
    weights_BT: Tensor
    """`w^_t`, clipped and, if asked for, normalised."""
    deltas_BT: Tensor
    """`delta_t`: how much likelier the token is to the teacher, as a log-ratio."""
    clipped_BT: Tensor
    """-1 where the weight was clipped from below, 1 from above, else 0 (int8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A named way to give credit."""

    name: str
    needs_hint: bool
    """Whether it reads the log-probabilities of a teacher that sees the hint."""
    credit: Callable[[Evidence, Options], Credit]


def sequence_credit(evidence: Evidence) -> Credit:
    """Every token gets its sequence's advantage: GRPO, and what every weighting method is at `lambda = 0`."""
    mask_BT, student_BT = evidence.mask_BT, evidence.student_logps_BT
    advantages_B1 = evidence.advantages_B.to(student_BT.dtype)[:, None]
    zeros_BT = student_BT.new_zeros(mask_BT.shape)
    return Credit(
        advantages_BT=advantages_B1.expand_as(mask_BT).where(mask_BT, 0.0),
        weights_BT=zeros_BT + 1,
        deltas_BT=zeros_BT,
        clipped_BT=zeros_BT.char(),
    )
