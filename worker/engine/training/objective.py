"""Owns the surrogate objective and how its tokens are averaged: RLSD.md section 1, eq. 16 with `rho_t` as meant."""

import torch
from torch import Tensor

from worker.engine.types import Loss

LOG_RATIO_LIMIT = 20.0
"""`log rho` is held within this: far outside every clip, and near enough for `exp` and its gradient to stay finite."""


def surrogate(
    logps_BT: Tensor,
    old_logps_BT: Tensor,
    advantages_BT: Tensor,
    mask_BT: Tensor,
    *,
    eps_low: float,
    eps_high: float,
    dual_clip: float,
) -> Tensor:
    """The objective of each token, to be raised, `[B, T]`, 0 outside the mask.

    `min(rho A, clip(rho, 1 - eps_low, 1 + eps_high) A)` with `rho = exp(logp - old_logp)`; where `A < 0` it is no lower
    than `dual_clip * A`.
    """
    ratio_BT = _ratio(logps_BT, old_logps_BT, mask_BT)
    known_BT = advantages_BT.where(mask_BT, 0.0)
    plain_BT = ratio_BT * known_BT
    clipped_BT = ratio_BT.clamp(1 - eps_low, 1 + eps_high) * known_BT
    objective_BT = torch.minimum(plain_BT, clipped_BT)
    return torch.where(known_BT < 0, torch.maximum(objective_BT, dual_clip * known_BT), objective_BT)


def ratio_clipped(
    logps_BT: Tensor, old_logps_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, *, eps_low: float, eps_high: float
) -> Tensor:
    """True at tokens whose policy ratio is held by the clip, `[B, T]`."""
    ratio_BT = _ratio(logps_BT, old_logps_BT, mask_BT)
    held_up = (ratio_BT > 1 + eps_high) & (advantages_BT > 0)
    held_down = (ratio_BT < 1 - eps_low) & (advantages_BT < 0)
    return (held_up | held_down) & mask_BT


def _ratio(logps_BT: Tensor, old_logps_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """`rho`, `[B, T]`; 1 outside the mask."""
    log_ratio_BT = (logps_BT - old_logps_BT).where(mask_BT, 0.0)
    return log_ratio_BT.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def token_shares(mask_BT: Tensor, *, loss: str, max_completion_tokens: int, dtype: torch.dtype) -> Tensor:
    """What each token of the whole step counts in the loss, `[B, T]`, 0 outside the mask.

    To be made once from the mask of every sequence, those without an advantage included; so the loss does not depend on
    how the step is cut into micro-batches, nor on which sequences are skipped.
    """
    mask = mask_BT.to(dtype)
    if loss == Loss.TOKEN_MEAN:
        return mask / mask.sum().clamp(min=1)
    if loss == Loss.CONSTANT:
        return mask / (mask.shape[0] * max_completion_tokens)
    return mask / mask.sum(1, keepdim=True).clamp(min=1) / mask.shape[0]
