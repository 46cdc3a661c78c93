"""Owns who gets the credit: joins the methods into pure functions on log-probabilities, without model or I/O.

A method is one file in `methods/`; RLSD.md sections 1, 3 and 6 are the specification.
"""

import torch
from torch import Tensor

from worker.engine.methods import method_named
from worker.engine.methods.base import Credit, CreditInputs, Options


def assign_credit(method: str, evidence: CreditInputs, options: Options) -> Credit:
    """Token advantages together with the weights and deltas behind them; no gradient flows through any of it.

    ValueError for an unknown method or a missing teacher.
    """
    return method_named(method).credit(evidence, options)


def token_advantages(
    method: str,
    advantages: Tensor,
    student_logps: Tensor,
    teacher_logps: Tensor | None,
    mask: Tensor,
    *,
    lam: float,
    eps_w: float | tuple[float, float],
    normalise: bool = False,
    first_error: bool = False,
    negative_only: bool = False,
    alpha: float = 0.3,
    delta_clip: float = 5.0,
    contrast_tau: float = 0.02,
    contrast_threshold: float = 0.02,
    contrast_logps: Tensor | None = None,
    heard: Tensor | None = None,
) -> Tensor:
    """`A^_t` of every token, `[B, T]`, 0 outside the mask; no gradient flows through it.

    `advantages` is `[B]`, one a sequence; `student_logps`, `teacher_logps`, `contrast_logps` and `mask` are `[B, T]`.
    `heard` is `[B]` or `[B, T]`: where it is False the teacher has no word; None means that it is heard everywhere.
    `eps_w` is a number or a pair: weights are clipped to `[1 - eps_w, 1 + eps_w]` or `[1 - eps_w[0], 1 + eps_w[1]]`.
    Whatever stands outside the mask, NaN included, has no influence. At `lam = 0` a weighting method gives `A` bit for
    bit and the teacher is not asked. ValueError for an unknown method or a missing teacher.
    """
    eps_low, eps_high = (eps_w, eps_w) if isinstance(eps_w, int | float) else eps_w
    everywhere_BT = torch.ones_like(mask, dtype=torch.bool)
    by_token = heard is not None and heard.dim() == 2
    evidence = CreditInputs(
        advantages_B=advantages.detach(),
        student_logps_BT=student_logps.detach(),
        teacher_logps_BT=None if teacher_logps is None else teacher_logps.detach(),
        contrast_logps_BT=None if contrast_logps is None else contrast_logps.detach(),
        teacher_mask_B=everywhere_BT[:, 0] if heard is None or by_token else heard.bool(),
        teacher_mask_BT=heard.bool() if heard is not None and by_token else everywhere_BT,
        mask_BT=mask.bool(),
    )
    options = Options(
        lam=lam,
        eps_low=eps_low,
        eps_high=eps_high,
        normalise=normalise,
        first_error=first_error,
        negative_only=negative_only,
        alpha=alpha,
        delta_clip=delta_clip,
        contrast_tau=contrast_tau,
        contrast_threshold=contrast_threshold,
    )
    return assign_credit(method, evidence, options).advantages_BT


def lambda_at(step: int, *, lam: float, decay_steps: int) -> float:
    """`lambda` at a step (from 1): falls linearly from `lam` to 0 over `decay_steps`, or stays where that is 0."""
    if decay_steps == 0:
        return lam
    return lam * max(0.0, 1 - (step - 1) / decay_steps)
