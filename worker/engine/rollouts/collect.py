"""Owns what a step learns from: completions with their scores, dead groups resampled where the settings ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from worker.engine.distributed import ProcessGroup
from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import dead_groups, group_advantages
from worker.engine.model.policy import Policy
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored, all_scored, trust
from worker.engine.rollouts.rollouts import Rollouts, joined, with_groups_replaced
from worker.engine.rollouts.sampler import Sampler
from worker.engine.rollouts.sampling import sample_and_score
from worker.engine.seeds import batch_indices, numpy_generator, torch_generator
from worker.engine.settings import Settings
from worker.engine.types import Reward


@dataclass(frozen=True, slots=True)
class RolloutBatch:
    """The completions of a step and the verifier's word on them."""

    rollouts: Rollouts
    scored: Scored
    advantages_B: Tensor
    resampled_groups: int
    """Groups without signal that were thrown away for fresh ones."""
    verdicts: Scored
    """Everything that the verifier said, those groups included."""
    num_tokens: int
    """Tokens of all prompts that were read and all completions that were sampled, those groups' included."""


def gather(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    source: Sampler,
    reward: Reward,
    step: int,
    settings: Settings,
    watch: Stopwatch,
    world: ProcessGroup,
) -> RolloutBatch:
    """Sample and score the batch of a step. Each process does its share of the prompts; all get the whole.

    Groups without signal are replaced up to `resample_rounds` times by groups of other prompts, drawn anew in each
    round (DAPO, arXiv 2503.14476); which ones is a function of the seed, the step and the round. VerifierFaults when
    the scores cannot be trusted, be it only those of groups that are about to be thrown away.
    """
    ledger = _SamplingTotals(settings.max_error_share)

    def attempt(indices: Sequence[int], *, purpose: str) -> tuple[Rollouts, Scored]:
        asked = [prompts[index] for index in indices]
        rollouts, scored = sample_and_score(
            policy,
            asked,
            source=source,
            reward=reward,
            num_generations=settings.num_generations,
            max_completion_tokens=settings.max_completion_tokens,
            temperature=settings.temperature,
            generator=torch_generator(settings.seed, step=step, purpose=purpose),
            sequences_at_once=settings.rollout_sequences,
            share=world.share(len(asked)),
            phase=watch.phase,
        )
        with watch.phase("reward"):
            rollouts, scored = joined(rollouts, scored, prompts=asked, pad_id=policy.pad_id, world=world)
        ledger.note(rollouts, scored)
        return rollouts, scored

    indices = batch_indices(step, seed=settings.seed, batch_size=settings.batch_size, num_rows=len(prompts))
    rollouts, scored = attempt(indices, purpose="rollout")
    seen, resampled = set(indices), 0
    for turn in range(settings.resample_rounds):
        dead = dead_groups(scored.rewards_B.view(-1, settings.num_generations)).nonzero().squeeze(1).tolist()
        fresh = _others(seen, count=len(dead), num_rows=len(prompts), settings=settings, step=step, turn=turn)
        if not fresh:
            break
        others, their_scores = attempt(fresh, purpose=f"rollout again {turn}")
        places = dead[: len(fresh)]
        rollouts = with_groups_replaced(rollouts, others, places=places, pad_id=policy.pad_id)
        scored = scored.with_groups_replaced(their_scores, places=places, num_generations=settings.num_generations)
        ledger.judge(scored)
        seen |= set(fresh)
        resampled += len(fresh)
    advantages_B = group_advantages(
        scored.rewards_B, num_generations=settings.num_generations, scale=settings.scale_rewards
    )
    return RolloutBatch(rollouts, scored, advantages_B, resampled, ledger.verdicts, ledger.num_tokens)


@dataclass(slots=True)
class _SamplingTotals:
    """What a step has asked of the model and of the verifier so far, thrown away or not."""

    max_error_share: float
    verdicts: Scored = field(default_factory=lambda: all_scored([]))
    num_tokens: int = 0

    def note(self, rollouts: Rollouts, scored: Scored) -> None:
        """Add an attempt. VerifierFaults when too much of all that was asked could not be scored."""
        self.verdicts = all_scored([self.verdicts, scored])
        self.num_tokens += sum(len(prompt.student.ids) for prompt in rollouts.prompts) + int(rollouts.mask_BT.sum())
        self.judge(self.verdicts)

    def judge(self, scored: Scored) -> None:
        """VerifierFaults when too much of this could not be scored."""
        trust(scored.fault_share, first_fault=scored.first_fault, limit=self.max_error_share)


def _others(seen: set[int], *, count: int, num_rows: int, settings: Settings, step: int, turn: int) -> list[int]:
    """Up to `count` rows that the step has not tried yet."""
    order = numpy_generator(settings.seed, step=step, purpose=f"resampling {turn}").permutation(num_rows).tolist()
    return [index for index in order if index not in seen][:count]
