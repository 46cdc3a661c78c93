"""Collecting a step's rollouts: sample, score, and resample dead groups where the settings ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from worker.engine.distributed import ProcessGroup
from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import dead_groups, group_advantages
from worker.engine.model.policy import Policy
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored, check_fault_share, concat_scored
from worker.engine.rollouts.rollouts import Rollouts, all_gather_rollouts, with_groups_replaced
from worker.engine.rollouts.sampler import Sampler
from worker.engine.rollouts.sampling import sample_and_score
from worker.engine.seeds import batch_indices, numpy_generator, torch_generator
from worker.engine.settings import Settings
from worker.engine.types import Reward


@dataclass(frozen=True, slots=True)
class RolloutBatch:
    """The scored completions of a step and their group advantages."""

    rollouts: Rollouts
    scored: Scored
    advantages_B: Tensor
    resampled_groups: int
    """Groups without signal that were replaced by fresh ones."""
    all_scored: Scored
    """Scores of every completion sampled, the discarded groups included."""
    num_tokens: int
    """Tokens of all prompts read and completions sampled, the discarded groups included."""


def collect_rollouts(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    sampler: Sampler,
    reward: Reward,
    step: int,
    settings: Settings,
    watch: Stopwatch,
    world: ProcessGroup,
) -> RolloutBatch:
    """Sample and score the batch of a step. Each process samples its share of the prompts; all get the whole batch.

    Groups without signal are replaced up to `resample_rounds` times by groups of other prompts (DAPO, arXiv
    2503.14476); the choice depends on the seed, the step and the round alone. VerifierFaults if too many completions
    could not be scored, those of discarded groups included.
    """
    totals = _SamplingTotals(settings.max_error_share)

    def attempt(indices: Sequence[int], *, purpose: str) -> tuple[Rollouts, Scored]:
        selected = [prompts[index] for index in indices]
        rollouts, scored = sample_and_score(
            policy,
            selected,
            sampler=sampler,
            reward=reward,
            num_generations=settings.num_generations,
            max_completion_tokens=settings.max_completion_tokens,
            temperature=settings.temperature,
            generator=torch_generator(settings.seed, step=step, purpose=purpose),
            sequences_at_once=settings.rollout_sequences,
            share=world.share(len(selected)),
            phase=watch.phase,
        )
        with watch.phase("reward"):
            rollouts, scored = all_gather_rollouts(
                rollouts, scored, prompts=selected, pad_id=policy.pad_id, world=world
            )
        totals.add(rollouts, scored)
        return rollouts, scored

    indices = batch_indices(step, seed=settings.seed, batch_size=settings.batch_size, num_rows=len(prompts))
    rollouts, scored = attempt(indices, purpose="rollout")
    tried, resampled = set(indices), 0
    for round_index in range(settings.resample_rounds):
        dead = dead_groups(scored.rewards_B.view(-1, settings.num_generations)).nonzero().squeeze(1).tolist()
        fresh = _untried_rows(
            tried, count=len(dead), num_rows=len(prompts), settings=settings, step=step, round_index=round_index
        )
        if not fresh:
            break
        new_rollouts, new_scored = attempt(fresh, purpose=f"rollout again {round_index}")
        groups = dead[: len(fresh)]
        rollouts = with_groups_replaced(rollouts, new_rollouts, groups=groups, pad_id=policy.pad_id)
        scored = scored.with_groups_replaced(new_scored, groups=groups, num_generations=settings.num_generations)
        totals.check(scored)
        tried |= set(fresh)
        resampled += len(fresh)
    advantages_B = group_advantages(
        scored.rewards_B, num_generations=settings.num_generations, scale=settings.scale_rewards
    )
    return RolloutBatch(rollouts, scored, advantages_B, resampled, totals.scored, totals.num_tokens)


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


def _untried_rows(
    tried: set[int], *, count: int, num_rows: int, settings: Settings, step: int, round_index: int
) -> list[int]:
    """Draw up to `count` rows that the step has not tried yet."""
    rng = numpy_generator(settings.seed, step=step, purpose=f"resampling {round_index}")
    return [index for index in rng.permutation(num_rows).tolist() if index not in tried][:count]
