"""Sampling and scoring in chunks: one chunk is scored while the next is sampled."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.distributed import ProcessGroup
from worker.engine.model.policy import Policy
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored, concat_scored, score_completions
from worker.engine.rollouts.rollouts import (
    Rollouts,
    all_gather_rollouts,
    concat_rollouts,
    empty_rollouts,
    rollouts_from,
)
from worker.engine.rollouts.sampler import Sampler
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.settings import Settings
from worker.engine.types import Reward


def untimed(name: str) -> AbstractContextManager[None]:
    """Do not time the phase: a `phase` argument for callers that need no timings."""
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutContext:
    """What sampling and scoring need, the same throughout a run."""

    settings: Settings
    policy: Policy
    sampler: Sampler
    reward: Reward
    component_weights: Mapping[str, float]
    """By the names of the components that are normalised apart; empty where the score alone counts."""
    world: ProcessGroup


def sample_chunks(
    context: RolloutContext, prompts: Sequence[Prompt], *, num_generations: int, generator: torch.Generator
) -> Iterator[Rollouts]:
    """Sample `num_generations` completions for each prompt of this process' share, `rollout_sequences` at a time.

    Random numbers are drawn for all prompts, so they depend neither on how prompts are shared between processes nor on
    the chunks. A chunk contains whole groups if a group fits, otherwise part of one group.
    """
    settings, share = context.settings, context.world.share(len(prompts))
    max_tokens, at_once = settings.max_completion_tokens, settings.rollout_sequences
    uniforms_TB = torch.rand(max_tokens, len(prompts) * num_generations, generator=generator)
    uniforms_TPG = uniforms_TB.view(max_tokens, len(prompts), num_generations)[:, share]
    selected = prompts[share]
    if not selected:
        yield empty_rollouts(context.policy, num_generations=num_generations)
    prompts_at_once = max(1, at_once // num_generations)
    samples_at_once = min(num_generations, at_once)
    for first in range(0, len(selected), prompts_at_once):
        chunk = slice(first, first + prompts_at_once)
        for sample in range(0, num_generations, samples_at_once):
            part_TPG = uniforms_TPG[:, chunk, sample : sample + samples_at_once]
            yield _sample(context, selected[chunk], uniforms_TPG=part_TPG)


def _sample(context: RolloutContext, prompts: Sequence[Prompt], *, uniforms_TPG: Tensor) -> Rollouts:
    num_generations = uniforms_TPG.shape[2]
    ids_BT, logps_BT = context.sampler.sample(
        prompts,
        num_generations=num_generations,
        uniforms_TB=uniforms_TPG.flatten(1),
        temperature=context.settings.temperature,
    )
    return rollouts_from(context.policy, prompts, num_generations=num_generations, ids_BT=ids_BT, logps_BT=logps_BT)


def sample_and_score(
    context: RolloutContext,
    prompts: Sequence[Prompt],
    *,
    num_generations: int,
    generator: torch.Generator,
    phase: Callable[[str], AbstractContextManager[None]],
) -> tuple[Rollouts, Scored]:
    """Sample and score completions. Each process does its share of the prompts; all get the whole.

    The reward is called in a separate thread, in order. The phase "reward" is only the time spent waiting once
    everything is sampled.
    """
    world, pad_id = context.world, context.policy.pad_id
    chunks: list[Rollouts] = []
    pending: list[Future[Scored]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="reward") as thread:
        with phase("rollout"):
            for chunk in sample_chunks(context, prompts, num_generations=num_generations, generator=generator):
                chunks.append(chunk)
                pending.append(thread.submit(score_completions, context.reward, chunk.completions))
        with phase("reward"):
            scored = concat_scored([future.result() for future in pending])
            own = prompts[world.share(len(prompts))]
            rollouts = concat_rollouts(chunks, prompts=own, num_generations=num_generations, pad_id=pad_id)
            return all_gather_rollouts(rollouts, scored, prompts=prompts, pad_id=pad_id, world=world)


def make_sampler(policy: Policy, *, settings: Settings) -> Sampler:
    """Create the sampler that the settings name. ValueError naming `generator` if it is not available."""
    if settings.generator == "vllm":
        # vLLM is an optional extra that is slow to import.
        from worker.engine.rollouts.vllm_sampler import VllmSampler

        return VllmSampler(policy, settings=settings)
    return TransformersSampler(policy)
