"""Sampling and scoring in chunks: one chunk is scored while the next is sampled."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from worker.engine.model.policy import Policy
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored, concat_scored, score_completions
from worker.engine.rollouts.rollouts import Rollouts, concat_rollouts, empty_rollouts, rollouts_from
from worker.engine.rollouts.sampler import Sampler
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.settings import Settings
from worker.engine.types import Reward


def untimed(name: str) -> AbstractContextManager[None]:
    """Do not time the phase: a `phase` argument for callers that need no timings."""
    return nullcontext()


def sample_chunks(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    sampler: Sampler,
    num_generations: int,
    max_completion_tokens: int,
    temperature: float,
    generator: torch.Generator,
    sequences_at_once: int,
    share: slice = slice(None),
) -> Iterator[Rollouts]:
    """Sample `num_generations` completions for each prompt of `share`, in chunks of at most `sequences_at_once`.

    Random numbers are drawn for all prompts, so they depend neither on how prompts are shared between processes nor on
    the chunks. A chunk contains whole groups if a group fits, otherwise part of one group.
    """
    uniforms_TPG = torch.rand(max_completion_tokens, len(prompts) * num_generations, generator=generator).view(
        max_completion_tokens, len(prompts), num_generations
    )[:, share]
    selected = prompts[share]
    if not selected:
        yield empty_rollouts(policy, num_generations=num_generations)
    prompts_at_once = max(1, sequences_at_once // num_generations)
    samples_at_once = min(num_generations, sequences_at_once)
    for first in range(0, len(selected), prompts_at_once):
        chunk = slice(first, first + prompts_at_once)
        for sample in range(0, num_generations, samples_at_once):
            yield _sample(
                policy,
                selected[chunk],
                sampler=sampler,
                uniforms_TPG=uniforms_TPG[:, chunk, sample : sample + samples_at_once],
                temperature=temperature,
            )


def _sample(
    policy: Policy, prompts: Sequence[Prompt], *, sampler: Sampler, uniforms_TPG: Tensor, temperature: float
) -> Rollouts:
    num_generations = uniforms_TPG.shape[2]
    ids_BT, logps_BT = sampler.sample(
        prompts, num_generations=num_generations, uniforms_TB=uniforms_TPG.flatten(1), temperature=temperature
    )
    return rollouts_from(policy, prompts, num_generations=num_generations, ids_BT=ids_BT, logps_BT=logps_BT)


def sample_and_score(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    sampler: Sampler,
    reward: Reward,
    num_generations: int,
    max_completion_tokens: int,
    temperature: float,
    generator: torch.Generator,
    sequences_at_once: int,
    share: slice,
    phase: Callable[[str], AbstractContextManager[None]],
) -> tuple[Rollouts, Scored]:
    """Sample and score completions for the prompts of `share`. `reward` is called in a separate thread, in order.

    The phase "reward" is only the time spent waiting once everything is sampled.
    """
    chunks: list[Rollouts] = []
    pending: list[Future[Scored]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="reward") as thread:
        with phase("rollout"):
            for chunk in sample_chunks(
                policy,
                prompts,
                sampler=sampler,
                num_generations=num_generations,
                max_completion_tokens=max_completion_tokens,
                temperature=temperature,
                generator=generator,
                sequences_at_once=sequences_at_once,
                share=share,
            ):
                chunks.append(chunk)
                pending.append(thread.submit(score_completions, reward, chunk.completions))
        with phase("reward"):
            scored = concat_scored([future.result() for future in pending])
    rollouts = concat_rollouts(chunks, prompts=prompts[share], num_generations=num_generations, pad_id=policy.pad_id)
    return rollouts, scored


def make_sampler(policy: Policy, *, settings: Settings) -> Sampler:
    """Create the sampler that the settings name. ValueError naming `generator` if it is not available."""
    if settings.generator == "vllm":
        # vLLM is an optional extra that is slow to import.
        from worker.engine.rollouts.vllm_sampler import VllmSampler

        return VllmSampler(policy, settings=settings)
    return TransformersSampler(policy)
