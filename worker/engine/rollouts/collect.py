"""Collecting a step's rollouts: sample, score, and resample dead groups where the settings ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from backend.core.settings.choices import RowSampling
from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import combined_advantages, group_advantages
from worker.engine.rollouts.drawing import SolveHistory, drawn_rows, replacement_rows
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored, check_fault_share, concat_scored, overlong_penalties
from worker.engine.rollouts.rollouts import Rollouts, concat_rollouts
from worker.engine.rollouts.sampling import RolloutContext, sample_and_score
from worker.engine.seeds import torch_generator
from worker.engine.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutBatch:
    """The scored completions of a step and their group advantages."""

    rollouts: Rollouts
    scored: Scored
    advantages_B: Tensor
    """Of the scores, minus the penalties."""
    penalties_B: Tensor | None
    """What each completion loses of its score because of its length; None without such penalties."""
    resampled_groups: int
    """Groups without signal that were replaced by fresh ones."""
    dead_P: Tensor
    """Groups without signal that are left."""
    all_scored: Scored
    """Scores of every completion sampled, the discarded groups included."""
    num_tokens: int
    """Tokens of all prompts read and completions sampled, the discarded groups included."""


def collect_rollouts(
    context: RolloutContext, prompts: Sequence[Prompt], *, step: int, history: SolveHistory, watch: Stopwatch
) -> RolloutBatch:
    """Sample and score the batch of a step. Each process samples its share of the prompts; all get the whole batch.

    Groups without signal are replaced up to `resample_rounds` times by groups of other prompts (DAPO, arXiv
    2503.14476); the choice depends on the seed, the step and the round alone. VerifierFaults if too many completions
    could not be scored, those of discarded groups included. The history of the rows gets all groups, in each process
    alike.
    """
    settings, weights = context.settings, context.component_weights
    seed, num_generations = settings.seed, settings.num_generations
    totals = _SamplingTotals(settings.max_error_share)

    def attempt(indices: Sequence[int], *, purpose: str) -> tuple[Rollouts, Scored]:
        rollouts, scored = sample_and_score(
            context,
            [prompts[index] for index in indices],
            num_generations=num_generations,
            generator=torch_generator(seed, step=step, purpose=purpose),
            phase=watch.phase,
        )
        totals.add(rollouts, scored)
        return rollouts, scored

    indices = drawn_rows(step, settings=settings, num_rows=len(prompts), history=history)
    rollouts, scored = attempt(indices, purpose="rollout")
    tried, resampled = list(indices), 0
    for round_index in range(settings.resample_rounds):
        dead_P = scored.dead_groups(weights, num_generations=num_generations)
        dead = dead_P.nonzero().squeeze(1).tolist()
        fresh = replacement_rows(
            step,
            settings=settings,
            num_rows=len(prompts),
            history=history,
            round_index=round_index,
            tried=set(tried),
            count=len(dead),
        )
        if not fresh:
            break
        new_rollouts, new_scored = attempt(fresh, purpose=f"rollout again {round_index}")
        places = dict(zip(dead, range(len(rollouts.prompts), len(rollouts.prompts) + len(fresh)), strict=False))
        chosen = [places.get(group, group) for group in range(len(rollouts.prompts))]
        both = concat_rollouts(
            [rollouts, new_rollouts],
            prompts=[*rollouts.prompts, *new_rollouts.prompts],
            num_generations=num_generations,
            pad_id=context.policy.pad_id,
        )
        rollouts = both.groups(chosen)
        scored = concat_scored([scored, new_scored]).groups(chosen, num_generations=num_generations)
        totals.check(scored)
        tried += fresh
        resampled += len(fresh)
    if settings.sampling is RowSampling.INFORMATIVE:
        right_B = totals.scored.rewards_B > settings.success_above  # NaN is not right
        history.add(tried, right_B.view(-1, num_generations).numpy())
    advantages_B, penalties_B = _advantages(rollouts, scored, weights=weights, settings=settings)
    dead_P = scored.dead_groups(weights, num_generations=num_generations)
    return RolloutBatch(
        rollouts=rollouts,
        scored=scored,
        advantages_B=advantages_B,
        penalties_B=penalties_B,
        resampled_groups=resampled,
        dead_P=dead_P,
        all_scored=totals.scored,
        num_tokens=totals.num_tokens,
    )


def _advantages(
    rollouts: Rollouts, scored: Scored, *, weights: Mapping[str, float], settings: Settings
) -> tuple[Tensor, Tensor | None]:
    """Compute the advantages, 0 for completions that are left out of the loss, and the penalties for length.

    Where components are normalised apart, the share of the penalty is a component too, of the weight
    `-overlong_penalty`.
    """
    values_KB, penalties_B = scored.values_KB(weights), None
    weights_K = torch.tensor([*weights.values()], dtype=torch.float64)
    if settings.overlong_buffer > 0:
        penalties_B = overlong_penalties(
            rollouts.lengths_B,
            max_completion_tokens=settings.max_completion_tokens,
            buffer=settings.overlong_buffer,
            factor=settings.overlong_penalty,
        )
        if weights:
            values_KB = torch.cat([values_KB, -penalties_B.where(~scored.rewards_B.isnan(), torch.nan)[None]])
            weights_K = torch.cat([weights_K, torch.tensor([settings.overlong_penalty], dtype=torch.float64)])
        else:
            values_KB = values_KB - penalties_B
    if weights:
        advantages_B = combined_advantages(values_KB, weights_K=weights_K, num_generations=rollouts.num_generations)
    else:
        advantages_B = group_advantages(
            values_KB[0], num_generations=rollouts.num_generations, scale=settings.scale_rewards
        )
    in_loss_B = rollouts.in_loss_B(mask_truncated=settings.mask_truncated).to(advantages_B.device)
    return advantages_B.where(in_loss_B, 0.0), penalties_B


@dataclass(slots=True)
class _SamplingTotals:
    """Everything a step has sampled and scored so far, discarded or not."""

    max_error_share: float
    scored: Scored = field(default_factory=lambda: concat_scored([]))
    num_tokens: int = 0

    def add(self, rollouts: Rollouts, scored: Scored) -> None:
        """Add an attempt. VerifierFaults if too many of all completions so far could not be scored."""
        self.scored = concat_scored([self.scored, scored])
        self.num_tokens += sum(len(prompt.student.ids) for prompt in rollouts.prompts) + int(rollouts.mask_BT.sum())
        self.check(self.scored)

    def check(self, scored: Scored) -> None:
        """Raise VerifierFaults if too many of these completions could not be scored."""
        check_fault_share(scored.fault_share, first_fault=scored.first_fault, limit=self.max_error_share)
