"""Collecting a step's rollouts: sample, score, and resample dead groups or practise where the settings ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import dead_groups, group_advantages
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
from worker.engine.seeds import batch_indices, numpy_generator, torch_generator
from worker.engine.settings import Settings


@dataclass(frozen=True, slots=True)
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
    watch: Stopwatch,
) -> RolloutBatch:
    """Sample and score the batch of a step. Each process samples its share of the prompts; all get the whole batch.

    Groups without signal are replaced up to `resample_rounds` times by groups of other prompts (DAPO, arXiv
    2503.14476); the choice depends on the seed, the step and the round alone. With `practice_prompts` (by row), groups
    that failed are not replaced, but sampled once more with a hint (`trained_batch`). VerifierFaults if too many
    completions could not be scored, those of discarded groups included.
    """
    settings = context.settings
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

    indices = batch_indices(step, seed=seed, batch_size=settings.batch_size, num_rows=len(prompts))
    rollouts, scored = attempt([prompts[index] for index in indices], purpose="rollout")
    tried, resampled = set(indices), 0
    for round_index in range(settings.resample_rounds):
        practised = failed()
        dead = dead_groups(scored.rewards_B.view(-1, num_generations)).nonzero().squeeze(1).tolist()
        dead = [group for group in dead if group not in practised]
        rng = numpy_generator(seed, step=step, purpose=f"resampling {round_index}")
        fresh = [index for index in rng.permutation(len(prompts)).tolist() if index not in tried][: len(dead)]
        if not fresh:
            break
        new = attempt([prompts[index] for index in fresh], purpose=f"rollout again {round_index}")
        rollouts, scored = _replaced((rollouts, scored), new, groups=dead, pad_id=context.policy.pad_id)
        totals.check(scored)
        tried |= set(fresh)
        resampled += len(fresh)
    advantages_B, penalties_B = _advantages(rollouts, scored, settings=settings)
    practice = None
    if practice_prompts is not None:
        practised = failed()
        hinted = [practice_prompts[rollouts.prompts[group].task.row] for group in practised]
        nothing = empty_rollouts(context.policy, num_generations=num_generations), concat_scored([])
        practice = PractisedGroups(tuple(practised), *(attempt(hinted, purpose="practice") if hinted else nothing))
        advantages_B[rows_of_groups(practised, num_generations=num_generations)] = 0.0
    return RolloutBatch(
        rollouts, scored, advantages_B, penalties_B, resampled, totals.scored, totals.num_tokens, practice
    )


def trained_batch(asked: RolloutBatch, *, settings: Settings, pad_id: int) -> RolloutBatch:
    """Return the batch that is trained on: practised groups in the places of those that failed."""
    practice = asked.practice
    if practice is None or not practice.groups:
        return asked
    rollouts, scored = _replaced(
        (asked.rollouts, asked.scored), (practice.rollouts, practice.scored), groups=practice.groups, pad_id=pad_id
    )
    advantages_B, penalties_B = _advantages(rollouts, scored, settings=settings)
    return replace(asked, rollouts=rollouts, scored=scored, advantages_B=advantages_B, penalties_B=penalties_B)


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


def _advantages(rollouts: Rollouts, scored: Scored, *, settings: Settings) -> tuple[Tensor, Tensor | None]:
    """Compute the advantages, 0 for completions that are left out of the loss, and the penalties for length."""
    rewards_B, penalties_B = scored.rewards_B, None
    if settings.overlong_buffer > 0:
        penalties_B = overlong_penalties(
            rollouts.lengths_B,
            max_completion_tokens=settings.max_completion_tokens,
            buffer=settings.overlong_buffer,
            factor=settings.overlong_penalty,
        )
        rewards_B = rewards_B - penalties_B
    advantages_B = group_advantages(rewards_B, num_generations=rollouts.num_generations, scale=settings.scale_rewards)
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
