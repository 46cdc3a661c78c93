"""The surrogate objective and the weighting of its tokens: docs/rlsd.md section 1, eq. 16 with `rho_t` as intended."""

import torch
from torch import Tensor

from backend.core.settings.choices import Loss

LOG_RATIO_LIMIT = 20.0
"""Bound of `log rho`: far outside every clip, but small enough for `exp` and its gradient to stay finite."""


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
    """Compute the objective of each token, to be maximised, `[B, T]`, 0 outside the mask.

    `min(rho A, clip(rho, 1 - eps_low, 1 + eps_high) A)` with `rho = exp(logp - old_logp)`; where `A < 0` it is no lower
    than `dual_clip * A`.
    """
    ratio_BT = _ratio(logps_BT, old_logps_BT, mask_BT)
    masked_advantages_BT = advantages_BT.where(mask_BT, 0.0)
    plain_BT = ratio_BT * masked_advantages_BT
    clipped_BT = ratio_BT.clamp(1 - eps_low, 1 + eps_high) * masked_advantages_BT
    objective_BT = torch.minimum(plain_BT, clipped_BT)
    return torch.where(
        masked_advantages_BT < 0, torch.maximum(objective_BT, dual_clip * masked_advantages_BT), objective_BT
    )


def kl_estimate(logps_BT: Tensor, old_logps_BT: Tensor, reference_logps_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Estimate `KL(P_S || P_ref)` at each sampled token, `[B, T]`, never negative, 0 outside the mask.

    `rho (exp(d) - d - 1)` with `d = log P_ref - log P_S`: eq. 4 of GRPO (arXiv 2402.03300), known as k3, times the
    policy ratio, which makes its gradient that of the divergence (DeepSeek-V3.2, arXiv 2512.02556).
    """
    log_ratio_BT = (reference_logps_BT - logps_BT).where(mask_BT, 0.0).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return _ratio(logps_BT, old_logps_BT, mask_BT) * (log_ratio_BT.expm1() - log_ratio_BT)


def ratio_clipped(
    logps_BT: Tensor, old_logps_BT: Tensor, advantages_BT: Tensor, mask_BT: Tensor, *, eps_low: float, eps_high: float
) -> Tensor:
    """Return a mask of the tokens whose policy ratio is clipped, `[B, T]`."""
    ratio_BT = _ratio(logps_BT, old_logps_BT, mask_BT)
    clipped_high_BT = (ratio_BT > 1 + eps_high) & (advantages_BT > 0)
    clipped_low_BT = (ratio_BT < 1 - eps_low) & (advantages_BT < 0)
    return (clipped_high_BT | clipped_low_BT) & mask_BT


def _ratio(logps_BT: Tensor, old_logps_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Compute `rho`, `[B, T]`; 1 outside the mask."""
    log_ratio_BT = (logps_BT - old_logps_BT).where(mask_BT, 0.0)
    return log_ratio_BT.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def loss_weights(mask_BT: Tensor, *, loss: str, max_completion_tokens: int, dtype: torch.dtype) -> Tensor:
    """Compute each token's weight in the loss of the whole step, `[B, T]`, 0 outside the mask.

    Must be computed once from the masks of all sequences, including those without an advantage, so that the loss does
    not depend on the division into micro-batches or on which sequences are skipped. A sequence whose mask is empty
    counts too.
    """
    mask = mask_BT.to(dtype)
    if loss == Loss.TOKEN_MEAN:
        return mask / mask.sum().clamp(min=1)
    if loss == Loss.CONSTANT:
        return mask / (mask.shape[0] * max_completion_tokens)
    return mask / mask.sum(1, keepdim=True).clamp(min=1) / mask.shape[0]
