"""The interface of credit methods: pure functions from token log-probabilities to token advantages."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.faults import not_finite

FIRM_REJECTION = -1.6
"""About ln 0.2: the token is five times less likely under the teacher than under the student. Not tuned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditInputs:
    """Inputs of a credit method."""

    advantages_B: Tensor
    """Group advantages."""
    student_logps_BT: Tensor
    """Log-probabilities of the sampled tokens under the student, without gradient."""
    teacher_logps_BT: Tensor | None
    """The same under the teacher; None without a teacher pass."""
    contrast_logps_BT: Tensor | None
    """The same under the teacher with the method's second hint; the mean probability of several hints."""
    teacher_mask_B: Tensor
    """True for sequences with a hint (with both, where the method has two); elsewhere the teacher is ignored."""
    teacher_mask_BT: Tensor
    """True at tokens where the teacher is used (`reasoning_only`)."""
    mask_BT: Tensor
    """True at sampled tokens."""
    rewards_B: Tensor | None
    """Scores, NaN where there is none. Only methods that value tokens read them and the baselines."""
    baselines_B: Tensor | None
    """The mean value of the group's tokens."""
    divergences_BT: Tensor | None
    """Divergences of the teacher's from the student's distributions; None unless the method weights by them."""
    divergence_scale: float | None
    """Divergence at which a token's weight is one half."""
    practised_B: Tensor
    """True for sequences that were sampled with a hint (`practice.py`): they get `sequence_credit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Hyperparameters of the methods; docs/rlsd.md sections 1, 3 and 6."""

    lam: float
    weight_low: float
    """Weights are at least `1 - weight_low`."""
    weight_high: float
    """Weights are at most `1 + weight_high`."""
    normalise: bool
    first_error: bool
    negative_only: bool
    alpha: float
    """Coefficient of the distillation term of `grpo_opsd`."""
    delta_clip: float
    """Bound of a log-ratio used as an advantage."""
    contrast_tau: float
    """Log-ratio at which `rlcsd`'s contrast saturates."""
    contrast_threshold: float
    """`rlcsd` ignores contrasts no larger than this."""
    alpha_prefix: float
    """Value of a token of a wrong completion before its first error, in `good_prefix`."""
    prefix_margin: int
    """Tokens before the first error that count as wrong already."""
    success_above: float
    """Rewards above this are right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """A method's result for each token. Outside the mask advantages and deltas are 0 and weights are 1."""

    advantages_BT: Tensor
    """`A^_t`."""
    weights_BT: Tensor
    """`w^_t`, clipped and optionally normalised; 1 where a method has no weights."""
    deltas_BT: Tensor
    """`delta_t`, the log-ratio of teacher to student (or contrast); 0 where the teacher is ignored."""
    clipped_BT: Tensor
    """-1 where the weight (or the log-ratio) was clipped from below, 1 from above, else 0 (int8)."""


CreditFunction = Callable[[CreditInputs, Options], Credit]


def sequence_credit(inputs: CreditInputs) -> Credit:
    """Give every token its sequence's advantage: GRPO, and every weighting method at `lambda = 0`."""
    mask_BT, student_BT = inputs.mask_BT, inputs.student_logps_BT
    advantages_B1 = inputs.advantages_B.to(student_BT.dtype)[:, None]
    zeros_BT = student_BT.new_zeros(mask_BT.shape)
    return Credit(
        advantages_BT=advantages_B1.expand_as(mask_BT).where(mask_BT, 0.0),
        weights_BT=zeros_BT + 1,
        deltas_BT=zeros_BT,
        clipped_BT=zeros_BT.char(),
    )


def with_practice(credit: Credit, inputs: CreditInputs) -> Credit:
    """Replace the credit of practised sequences by that of GRPO, without teacher."""
    if not inputs.practised_B.any():
        return credit
    plain, practised_B1 = sequence_credit(inputs), inputs.practised_B[:, None]
    return Credit(
        advantages_BT=torch.where(practised_B1, plain.advantages_BT, credit.advantages_BT),
        weights_BT=torch.where(practised_B1, plain.weights_BT, credit.weights_BT),
        deltas_BT=torch.where(practised_B1, plain.deltas_BT, credit.deltas_BT),
        clipped_BT=torch.where(practised_B1, plain.clipped_BT, credit.clipped_BT),
    )


def log_ratio(numerator_BT: Tensor | None, denominator_BT: Tensor | None, inputs: CreditInputs) -> Tensor:
    """Return `numerator - denominator` where the teacher is used, else 0, `[B, T]`. ValueError if missing or NaN."""
    if numerator_BT is None or denominator_BT is None:
        raise ValueError("the method needs the log-probabilities of a teacher, but there are none")
    teacher_mask_BT = inputs.mask_BT & inputs.teacher_mask_BT & inputs.teacher_mask_B[:, None]
    deltas_BT = (numerator_BT - denominator_BT).where(teacher_mask_BT, 0.0)
    if bool(deltas_BT.isnan().any()):
        raise not_finite("a log-probability of a sampled token")
    return deltas_BT


def after_first_error(deltas_BT: Tensor) -> Tensor:
    """Return a mask of the tokens after the first firm rejection, which itself counts (docs/rlsd.md section 6)."""
    rejected_BT = deltas_BT < FIRM_REJECTION
    return (rejected_BT.cumsum(1) - rejected_BT.long()) > 0


def until_first_error(deltas_BT: Tensor, options: Options) -> Tensor:
    """Return the log-ratios, with option `first_error` set to 0 after the first firm rejection."""
    return deltas_BT.masked_fill(after_first_error(deltas_BT), 0.0) if options.first_error else deltas_BT


def weighted_credit(deltas_BT: Tensor, inputs: CreditInputs, options: Options) -> Credit:
    """Multiply advantages by mixed, clipped weights of any log-ratio: eq. 14, 15 and Alg. 1 of arXiv 2604.03128."""
    mask_BT = inputs.mask_BT
    advantages_B1 = inputs.advantages_B.to(deltas_BT.dtype)[:, None]
    sign_B1 = advantages_B1.sign()
    weighs_B1 = sign_B1 < 0 if options.negative_only else sign_B1 != 0
    raw_BT = torch.exp((sign_B1 * until_first_error(deltas_BT, options)).where(weighs_B1, 0.0))  # 0 * inf would be NaN
    lowest, highest = 1 - options.weight_low, 1 + options.weight_high
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


def contrasted_credit(inputs: CreditInputs, options: Options) -> Credit:
    """Apply RLSD's weights to the log-ratio of the teacher's two hints. ValueError where one is missing."""
    if options.lam == 0:
        return sequence_credit(inputs)
    deltas_BT = log_ratio(inputs.teacher_logps_BT, inputs.contrast_logps_BT, inputs)
    return weighted_credit(deltas_BT, inputs, options)


def distilled_credit(inputs: CreditInputs, options: Options) -> Credit:
    """Use the clipped log-ratio itself as the advantage; the reward is ignored."""
    deltas_BT = log_ratio(inputs.teacher_logps_BT, inputs.student_logps_BT, inputs)
    used_BT, bound = until_first_error(deltas_BT, options), options.delta_clip
    return Credit(
        advantages_BT=used_BT.clamp(-bound, bound),
        weights_BT=torch.ones_like(deltas_BT),
        deltas_BT=deltas_BT,
        clipped_BT=(used_BT > bound).char() - (used_BT < -bound).char(),
    )


def _mean(weights_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Average over each sequence's tokens, `[B, 1]`; 1 for a sequence without tokens or whose weights are all 0."""
    count_B1 = mask_BT.sum(1, keepdim=True).clamp(min=1)
    mean_B1 = weights_BT.where(mask_BT, 0.0).sum(1, keepdim=True) / count_B1
    return mean_B1.where(mean_B1 > 0, 1.0)
