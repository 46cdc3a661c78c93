"""What a method is: a pure function from sampled-token log-probabilities to token advantages, and what it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from worker.engine.faults import not_finite
from worker.engine.types import Hint

FIRM_REJECTION = -1.6
"""About ln 0.2: the teacher finds the token five times less likely than the student does. Not tuned."""


class TeacherKind(StrEnum):
    """Who speaks beside the verifier."""

    NONE = "none"
    """Nobody."""
    HINTED = "hinted"
    """The policy's own network, shown a hint."""
    EXTERNAL = "external"
    """Another model with the same tokenizer, shown the student's own prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditInputs:
    """What a method may look at."""

    advantages_B: Tensor
    """Group advantages."""
    student_logps_BT: Tensor
    """log-probabilities of the sampled tokens under the student, without gradient."""
    teacher_logps_BT: Tensor | None
    """The same under the teacher; None when no teacher pass was run."""
    contrast_logps_BT: Tensor | None
    """The same under the teacher with the method's second hint; the mean probability where there are several."""
    teacher_mask_B: Tensor
    """True where there was a hint to tell the teacher (both, where the method has two); False: it has no word."""
    teacher_mask_BT: Tensor
    """True at the tokens on which the teacher is heard (`reasoning_only`)."""
    mask_BT: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a method weighs what it sees; RLSD.md sections 1, 3 and 6."""

    lam: float
    eps_low: float
    """Weights are at least `1 - eps_low`."""
    eps_high: float
    """Weights are at most `1 + eps_high`."""
    normalise: bool
    first_error: bool
    negative_only: bool
    alpha: float
    """Strength of the distilled part of `grpo_opsd`."""
    delta_clip: float
    """Bound of a log-ratio that is itself an advantage."""
    contrast_tau: float
    """Log-ratio at which `rlcsd`'s contrast saturates."""
    contrast_threshold: float
    """`rlcsd` leaves tokens alone whose contrast is no larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What a method decided for each token. Outside the mask advantages and deltas are 0 and weights are 1."""

    advantages_BT: Tensor
    """`A^_t`."""
    weights_BT: Tensor
    """`w^_t`, clipped and, if asked for, normalised; 1 where a method has no weights."""
    deltas_BT: Tensor
    """`delta_t`: how much likelier the token is to the teacher, as a log-ratio; 0 where it is not heard."""
    clipped_BT: Tensor
    """-1 where the weight (or the log-ratio) was clipped from below, 1 from above, else 0 (int8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A named way to give credit, and what must be computed for it."""

    name: str
    credit: Callable[[CreditInputs, Options], Credit]
    teacher: TeacherKind
    hint: Hint | None = None
    """The one hint it is defined with; None: any may be chosen."""
    contrast: Hint | None = None
    """The second hint that its teacher reads."""
    fades: bool = False
    """`lambda` weighs the teacher's word: at 0 the method is GRPO and needs no teacher."""
    rewarded: bool = True
    """False: it distils alone, and no reward is read."""
    distils: bool = False
    """It has a signal where the advantage is 0, and `divergence` may replace its sampled form."""

    def speaks_at(self, lam: float, *, alpha: float) -> bool:
        """Whether a teacher is asked: not where its word would be multiplied by 0."""
        beside_reward = self.distils and self.rewarded
        silent = (self.fades and lam == 0) or (beside_reward and alpha == 0)
        return self.teacher is not TeacherKind.NONE and not silent


def sequence_credit(evidence: CreditInputs) -> Credit:
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


def log_ratio(above_BT: Tensor | None, below_BT: Tensor | None, evidence: CreditInputs) -> Tensor:
    """`above - below` where the teacher is heard, else 0, `[B, T]`. ValueError where one is missing or NaN."""
    if above_BT is None or below_BT is None:
        raise ValueError("the method needs log-probabilities of its teacher, and there are none")
    teacher_mask_BT = evidence.mask_BT & evidence.teacher_mask_BT & evidence.teacher_mask_B[:, None]
    deltas_BT = (above_BT - below_BT).where(teacher_mask_BT, 0.0)
    if bool(deltas_BT.isnan().any()):
        raise not_finite("a log-probability of a sampled token")
    return deltas_BT


def after_first_error(deltas_BT: Tensor) -> Tensor:
    """True at the tokens behind the first firm rejection, which itself still counts (RLSD.md section 6)."""
    rejected_BT = deltas_BT < FIRM_REJECTION
    return (rejected_BT.cumsum(1) - rejected_BT.long()) > 0


def until_first_error(deltas_BT: Tensor, options: Options) -> Tensor:
    """The log-ratios, 0 behind the first firm rejection where the option asks for it."""
    return deltas_BT.masked_fill(after_first_error(deltas_BT), 0.0) if options.first_error else deltas_BT


def weighted_credit(deltas_BT: Tensor, evidence: CreditInputs, options: Options) -> Credit:
    """Equations 14, 15 and Algorithm 1 of arXiv 2604.03128 on any evidence: advantages times mixed, clipped weights."""
    mask_BT = evidence.mask_BT
    advantages_B1 = evidence.advantages_B.to(deltas_BT.dtype)[:, None]
    sign_B1 = advantages_B1.sign()
    weighs_B1 = sign_B1 < 0 if options.negative_only else sign_B1 != 0
    raw_BT = torch.exp((sign_B1 * until_first_error(deltas_BT, options)).where(weighs_B1, 0.0))  # 0 * inf would be NaN
    lowest, highest = 1 - options.eps_low, 1 + options.eps_high
    weights_BT = raw_BT.clamp(lowest, highest)
    if options.normalise:
        weights_BT = weights_BT / _mean(weights_BT, mask_BT)
    mixed_BT = advantages_B1 * ((1 - options.lam) + options.lam * weights_BT)
    return Credit(
        advantages_BT=mixed_BT.where(mask_BT, 0.0),
        weights_BT=weights_BT.where(mask_BT, 1.0),
        deltas_BT=deltas_BT,
        clipped_BT=((raw_BT > highest).char() - (raw_BT < lowest).char()).where(mask_BT, 0),
    )


def contrasted_credit(evidence: CreditInputs, options: Options) -> Credit:
    """RLSD's weights on the difference between the teacher's two hints. ValueError where one of them is missing."""
    if options.lam == 0:
        return sequence_credit(evidence)
    deltas_BT = log_ratio(evidence.teacher_logps_BT, evidence.contrast_logps_BT, evidence)
    return weighted_credit(deltas_BT, evidence, options)


def distilled_credit(evidence: CreditInputs, options: Options) -> Credit:
    """The clipped log-ratio itself as the advantage; the reward is not read."""
    deltas_BT = log_ratio(evidence.teacher_logps_BT, evidence.student_logps_BT, evidence)
    teacher_mask_BT, bound = until_first_error(deltas_BT, options), options.delta_clip
    return Credit(
        advantages_BT=teacher_mask_BT.clamp(-bound, bound),
        weights_BT=torch.ones_like(deltas_BT),
        deltas_BT=deltas_BT,
        clipped_BT=(teacher_mask_BT > bound).char() - (teacher_mask_BT < -bound).char(),
    )


def _mean(weights_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over each sequence's tokens, `[B, 1]`; 1 for a sequence without tokens or whose weights are all 0."""
    count_B1 = mask_BT.sum(1, keepdim=True).clamp(min=1)
    mean_B1 = weights_BT.where(mask_BT, 0.0).sum(1, keepdim=True) / count_B1
    return mean_B1.where(mean_B1 > 0, 1.0)
