"""The group-relative advantage, eq. 1 of arXiv 2604.03128."""

import torch
from torch import Tensor

STD_FLOOR = 1e-6


def group_advantages(rewards_B: Tensor, *, num_generations: int, scale: bool) -> Tensor:
    """Compute `(R - mean) / (std + 1e-6)` within each group of `num_generations`, `[B]` float32; NaN is no reward.

    `std` is unbiased; without `scale` there is no division (Dr. GRPO, arXiv 2503.20783). A group with equal rewards,
    compared by `max - min`, gives exactly 0. A completion without a reward is left out of mean and std and gets 0.
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
    std_P1 = (centred_PG.square().sum(1, keepdim=True) / (count_P1 - 1).clamp(min=1)).sqrt()
    advantages_PG = centred_PG / (std_P1 + STD_FLOOR / unit_P1) if scale else centred_PG * unit_P1
    return advantages_PG.where(scored_PG & ~dead_groups(rewards_PG)[:, None], 0.0).float().view(-1)


def dead_groups(rewards_PG: Tensor) -> Tensor:
    """Return a mask of the groups whose known rewards are all equal, or that have none, `[P]`."""
    missing_PG = rewards_PG.isnan()
    highest_P = rewards_PG.masked_fill(missing_PG, -torch.inf).amax(1)
    lowest_P = rewards_PG.masked_fill(missing_PG, torch.inf).amin(1)
    return ~(highest_P > lowest_P)
