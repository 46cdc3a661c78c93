"""The group-relative advantage, eq. 1 of arXiv 2604.03128."""

import torch
from torch import Tensor

from backend.core.settings.choices import RewardScale

SCALE_FLOOR = 1e-6


def group_advantages(rewards_B: Tensor, *, num_generations: int, scale: RewardScale) -> Tensor:
    """Compute the advantages within each group of `num_generations`, `[B]` float32; NaN is no reward.

    std: `(R - mean R) / (std R + 1e-6)`, `std` unbiased. none: `R - mean R` (Dr. GRPO, arXiv 2503.20783). mean:
    `(R - mean R) / (mean |R| + 1e-6)`: by the mean, for rewards from 0 (MaxRL, arXiv 2602.02710); negative ones turn no
    sign around. A group with equal rewards, compared by `max - min`, gives exactly 0. A
    completion without a reward is left out of mean and std and gets 0.
    """
    rewards_PG = rewards_B.double().view(-1, num_generations)
    scored_PG = ~rewards_PG.isnan()
    filled_PG = rewards_PG.where(scored_PG, 0.0)
    # In units of the group's largest reward (from 1 up), so that neither a sum nor a square overflows.
    unit_P1 = filled_PG.abs().amax(1, keepdim=True).clamp(min=1.0)
    filled_PG = filled_PG / unit_P1
    count_P1 = scored_PG.sum(1, keepdim=True)
    mean_P1 = filled_PG.sum(1, keepdim=True) / count_P1.clamp(min=1)
    centred_PG = (filled_PG - mean_P1).where(scored_PG, 0.0)
    match scale:
        case RewardScale.STD:
            std_P1 = (centred_PG.square().sum(1, keepdim=True) / (count_P1 - 1).clamp(min=1)).sqrt()
            advantages_PG = centred_PG / (std_P1 + SCALE_FLOOR / unit_P1)
        case RewardScale.MEAN:
            advantages_PG = centred_PG / (filled_PG.abs().sum(1, keepdim=True) / count_P1 + SCALE_FLOOR / unit_P1)
        case RewardScale.NONE:
            advantages_PG = centred_PG * unit_P1
    return advantages_PG.where(scored_PG & ~dead_groups(rewards_PG)[:, None], 0.0).float().view(-1)


def dead_groups(rewards_PG: Tensor) -> Tensor:
    """Return a mask of the groups whose known rewards are all equal, or that have none, `[P]`."""
    missing_PG = rewards_PG.isnan()
    highest_P = rewards_PG.masked_fill(missing_PG, -torch.inf).amax(1)
    lowest_P = rewards_PG.masked_fill(missing_PG, torch.inf).amin(1)
    return ~(highest_P > lowest_P)
