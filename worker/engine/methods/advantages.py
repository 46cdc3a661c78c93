"""What is computed from the rewards of groups: the advantage, eq. 1 of arXiv 2604.03128, and other baselines."""

import torch
from torch import Tensor

from backend.core.settings.choices import RewardScale

SCALE_FLOOR = 1e-6


def group_advantages(rewards_B: Tensor, *, num_generations: int, scale: RewardScale) -> Tensor:
    """Compute the advantages within each group of `num_generations`, `[B]` float32; NaN is no reward.

    - std: `(R - mean R) / (std R + 1e-6)`, `std` unbiased.
    - none: `R - mean R` (Dr. GRPO, arXiv 2503.20783).
    - mean: `(R - mean R) / (mean |R| + 1e-6)` (MaxRL, arXiv 2602.02710, for rewards from 0; `|R|` keeps the sign of `A`
      where some are negative).

    A group with equal rewards, compared by `max - min`, gives exactly 0. A completion without a reward is left out of
    mean and std and gets 0.
    """
    return _scaled(rewards_B, num_generations=num_generations, scale=scale).float()


def combined_advantages(components_KB: Tensor, *, weights_K: Tensor, num_generations: int) -> Tensor:
    """Normalise `K` components apart and add them (GDPO, arXiv 2601.05242), `[B]` float32; NaN is no reward.

    The paper's: each component's `A_k = (R_k - mean R_k) / std R_k` within its group (eq. 4), their sum by weight
    `S = sum_k w_k A_k` (eq. 7), and its scale over the batch, `A = S / (std S + 1e-6)` (eq. 6, the mean of `S` being
    0). This project's: `std S` is pooled within the groups that have a signal, `sqrt(sum S^2 / sum_P (n - 1))` for `n`
    rewards in a group. So one component alone gives the advantage of `group_advantages`, and groups without signal do
    not make the others louder. Weights are divided by the sum of their magnitudes, which cancels.
    """
    normalised_KB = torch.stack(
        [_scaled(rewards_B, num_generations=num_generations, scale=RewardScale.STD) for rewards_B in components_KB]
    )
    sums_B = ((weights_K / weights_K.abs().sum())[:, None] * normalised_KB).sum(0)
    groups_KPG = components_KB.view(len(components_KB), -1, num_generations)
    live_P = ~torch.stack([dead_groups(groups_PG) for groups_PG in groups_KPG]).all(0)
    freedom_P = (~groups_KPG.isnan().any(0)).sum(1) - 1
    pooled = (sums_B.square().sum() / freedom_P[live_P].sum().clamp(min=1)).sqrt()
    return (sums_B / (pooled + SCALE_FLOOR)).float()


def _scaled(rewards_B: Tensor, *, num_generations: int, scale: RewardScale) -> Tensor:
    """Compute the advantages in float64."""
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
    return advantages_PG.where(scored_PG & ~dead_groups(rewards_PG)[:, None], 0.0).view(-1)


def dead_groups(rewards_PG: Tensor) -> Tensor:
    """Return a mask of the groups whose known rewards are all equal, or that have none, `[P]`."""
    missing_PG = rewards_PG.isnan()
    highest_P = rewards_PG.masked_fill(missing_PG, -torch.inf).amax(1)
    lowest_P = rewards_PG.masked_fill(missing_PG, torch.inf).amin(1)
    return ~(highest_P > lowest_P)


def group_baselines(values_B: Tensor, *, rewards_B: Tensor, num_generations: int) -> Tensor:
    """Average completions' mean values over each group, `[B]`, without those that have no score."""
    scored_PG = ~rewards_B.isnan().view(-1, num_generations)
    values_PG = values_B.view(-1, num_generations).where(scored_PG, 0.0)
    means_P1 = values_PG.sum(1, keepdim=True) / scored_PG.sum(1, keepdim=True).clamp(min=1)
    return means_P1.expand_as(values_PG).reshape(-1)


def failing_sequences(rewards_B: Tensor, *, num_generations: int, success_above: float) -> Tensor:
    """Return a mask of the sequences with a score whose group has a wrong one, `[B]`."""
    wrong_PG = (rewards_B <= success_above).view(-1, num_generations)  # NaN is not wrong
    return wrong_PG.any(1, keepdim=True).expand_as(wrong_PG).reshape(-1) & ~rewards_B.isnan()


def mixed_sequences(rewards_B: Tensor, *, num_generations: int, success_above: float) -> Tensor:
    """Return a mask of the sequences whose group has at least two right ones and a wrong one, `[B]`."""
    rewards_PG = rewards_B.view(-1, num_generations)
    right_P1 = (rewards_PG > success_above).sum(1, keepdim=True)
    wrong_P1 = (rewards_PG <= success_above).sum(1, keepdim=True)  # NaN is neither
    return ((right_P1 >= 2) & (wrong_P1 >= 1)).expand_as(rewards_PG).reshape(-1)
