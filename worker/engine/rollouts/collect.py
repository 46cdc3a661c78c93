"""Collecting a step's rollouts: sample, score, and resample dead groups or practise where the settings ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from backend.core.settings.choices import RowSampling
from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import combined_advantages, group_advantages
from worker.engine.rollouts.drawing import SolveHistory, drawn_rows, replacement_rows
from worker.engine.rollouts.practice import PractisedGroups, failed_groups
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import (
    Scored,
    check_fault_share,
    concat_scored,
    overlong_penalties,
    rows_of_groups,
)
from worker.engine.rollouts.rollouts import Rollouts, concat_rollouts, empty_rollouts
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
    practice: PractisedGroups | None = None
    """Groups sampled again with a hint, which are trained on in place of those that failed; None if the run does not
    practise."""


def collect_rollouts(
    context: RolloutContext,
    prompts: Sequence[Prompt],
    *,
    practice_prompts: Mapping[int, Prompt] | None,
    step: int,
    history: SolveHistory,
    watch: Stopwatch,
) -> RolloutBatch:
    """Sample and score the batch of a step. Each process samples its share of the prompts; all get the whole batch.

    Groups without signal are replaced up to `resample_rounds` times by groups of other prompts (DAPO, arXiv
    2503.14476); the choice depends on the seed, the step and the round alone. With `practice_prompts` (by row), groups
    that failed are not replaced, but sampled once more with a hint (`trained_batch`). VerifierFaults if too many
    completions could not be scored, those of discarded groups included. The history of the rows gets all groups, but
    those of practice, in each process alike.
    """
    settings, weights = context.settings, context.component_weights
    seed, num_generations = settings.seed, settings.num_generations
    totals = _SamplingTotals(settings.max_error_share)

    def attempt(chosen: Sequence[Prompt], *, purpose: str) -> tuple[Rollouts, Scored]:
        rollouts, scored = sample_and_score(
            context,
            chosen,
            num_generations=num_generations,
            generator=torch_generator(seed, step=step, purpose=purpose),
            phase=watch.phase,
        )
        totals.add(rollouts, scored)
        return rollouts, scored

    def failed() -> list[int]:
        return failed_groups(rollouts, scored, prompts=practice_prompts or {}, settings=settings)

    indices = drawn_rows(step, settings=settings, num_rows=len(prompts), history=history)
    rollouts, scored = attempt([prompts[index] for index in indices], purpose="rollout")
    tried, resampled = list(indices), 0
    for round_index in range(settings.resample_rounds):
        practised = failed()
        dead_P = scored.dead_groups(weights, num_generations=num_generations)
        dead = [group for group in dead_P.nonzero().squeeze(1).tolist() if group not in practised]
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
        new = attempt([prompts[index] for index in fresh], purpose=f"rollout again {round_index}")
        rollouts, scored = _replaced((rollouts, scored), new, groups=dead, pad_id=context.policy.pad_id)
        totals.check(scored)
        tried += fresh
        resampled += len(fresh)
    if settings.sampling is RowSampling.INFORMATIVE:
        right_B = totals.scored.rewards_B > settings.success_above  # NaN is not right
        history.add(tried, right_B.view(-1, num_generations).numpy())
    advantages_B, penalties_B = _advantages(rollouts, scored, weights=weights, settings=settings)
    dead_P, practice = scored.dead_groups(weights, num_generations=num_generations), None
    if practice_prompts is not None:
        practised = failed()
        hinted = [practice_prompts[rollouts.prompts[group].task.row] for group in practised]
        nothing = empty_rollouts(context.policy, num_generations=num_generations), concat_scored([])
        practice = PractisedGroups(tuple(practised), *(attempt(hinted, purpose="practice") if hinted else nothing))
        advantages_B[rows_of_groups(practised, num_generations=num_generations)] = 0.0
    return RolloutBatch(
        rollouts=rollouts,
        scored=scored,
        advantages_B=advantages_B,
        penalties_B=penalties_B,
        resampled_groups=resampled,
        dead_P=dead_P,
        all_scored=totals.scored,
        num_tokens=totals.num_tokens,
        practice=practice,
    )


def trained_batch(asked: RolloutBatch, *, context: RolloutContext) -> RolloutBatch:
    """Return the batch that is trained on: practised groups in the places of those that failed."""
    practice, weights = asked.practice, context.component_weights
    if practice is None or not practice.groups:
        return asked
    rollouts, scored = _replaced(
        (asked.rollouts, asked.scored),
        (practice.rollouts, practice.scored),
        groups=practice.groups,
        pad_id=context.policy.pad_id,
    )
    advantages_B, penalties_B = _advantages(rollouts, scored, weights=weights, settings=context.settings)
    return replace(
        asked,
        rollouts=rollouts,
        scored=scored,
        advantages_B=advantages_B,
        penalties_B=penalties_B,
        dead_P=scored.dead_groups(weights, num_generations=rollouts.num_generations),
    )


def _replaced(
    before: tuple[Rollouts, Scored], new: tuple[Rollouts, Scored], *, groups: Sequence[int], pad_id: int
) -> tuple[Rollouts, Scored]:
    """Put new groups in the places of these, of which there may be more: the last ones then stay."""
    (rollouts, scored), (new_rollouts, new_scored) = before, new
    count, num_generations = len(rollouts.prompts), rollouts.num_generations
    places = dict(zip(groups, range(count, count + len(new_rollouts.prompts)), strict=False))
    chosen = [places.get(group, group) for group in range(count)]
    both = concat_rollouts(
        [rollouts, new_rollouts],
        prompts=[*rollouts.prompts, *new_rollouts.prompts],
        num_generations=num_generations,
        pad_id=pad_id,
    )
    return both.groups(chosen), concat_scored([scored, new_scored]).groups(chosen, num_generations=num_generations)


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
