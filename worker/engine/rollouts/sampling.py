"""Owns the way from prompts to scored completions, in parts: one part is scored while the next is sampled."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from worker.engine.model.policy import Policy
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.reward import Scored, all_scored, score_completions
from worker.engine.rollouts.rollouts import Rollouts, no_rollouts, rollouts_from, together
from worker.engine.rollouts.sampler import Sampler
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.settings import Settings
from worker.engine.types import Reward


def untimed(name: str) -> AbstractContextManager[None]:
    """For those who do not ask how long a phase takes."""
    return nullcontext()


def sampled_parts(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    source: Sampler,
    num_generations: int,
    max_completion_tokens: int,
    temperature: float,
    generator: torch.Generator,
    sequences_at_once: int,
    share: slice = slice(None),
) -> Iterator[Rollouts]:
    """Sample `num_generations` completions for each prompt, at most `sequences_at_once` at a time, part after part.

    Only the prompts of `share` are; the random numbers are drawn for all, so they do not depend on who samples what,
    nor on the parts. A part holds whole groups where one group fits, else a part of one group.
    """
    uniforms_TPG = torch.rand(max_completion_tokens, len(prompts) * num_generations, generator=generator).view(
        max_completion_tokens, len(prompts), num_generations
    )[:, share]
    asked = prompts[share]
    if not asked:
        yield no_rollouts(policy, num_generations=num_generations)
    prompts_at_once = max(1, sequences_at_once // num_generations)
    samples_at_once = min(num_generations, sequences_at_once)
    for first in range(0, len(asked), prompts_at_once):
        part = slice(first, first + prompts_at_once)
        for sample in range(0, num_generations, samples_at_once):
            yield _sample(
                policy,
                asked[part],
                source=source,
                uniforms_TPG=uniforms_TPG[:, part, sample : sample + samples_at_once],
                temperature=temperature,
            )


def _sample(
    policy: Policy, prompts: Sequence[Prompt], *, source: Sampler, uniforms_TPG: Tensor, temperature: float
) -> Rollouts:
    num_generations = uniforms_TPG.shape[2]
    ids_BT, logps_BT = source.sample(
        prompts, num_generations=num_generations, uniforms_TB=uniforms_TPG.flatten(1), temperature=temperature
    )
    return rollouts_from(policy, prompts, num_generations=num_generations, ids_BT=ids_BT, logps_BT=logps_BT)


def sample_and_score(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    source: Sampler,
    reward: Reward,
    num_generations: int,
    max_completion_tokens: int,
    temperature: float,
    generator: torch.Generator,
    sequences_at_once: int,
    share: slice,
    phase: Callable[[str], AbstractContextManager[None]],
) -> tuple[Rollouts, Scored]:
    """The completions of the share's prompts and their scores. `reward` is called in a thread of its own, in order.

    The phase "reward" is only what is waited for once everything is sampled.
    """
    parts: list[Rollouts] = []
    verdicts: list[Future[Scored]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="reward") as thread:
        with phase("rollout"):
            for part in sampled_parts(
                policy,
                prompts,
                source=source,
                num_generations=num_generations,
                max_completion_tokens=max_completion_tokens,
                temperature=temperature,
                generator=generator,
                sequences_at_once=sequences_at_once,
                share=share,
            ):
                parts.append(part)
                verdicts.append(thread.submit(score_completions, reward, part.completions))
        with phase("reward"):
            scored = all_scored([verdict.result() for verdict in verdicts])
    whole = together(parts, prompts=prompts[share], num_generations=num_generations, pad_id=policy.pad_id)
    return whole, scored


def make_generator(policy: Policy, *, settings: Settings) -> Sampler:
    """What the settings want completions from. ValueError naming `generator` where it cannot be had."""
    if settings.generator == "vllm":
        # vLLM is an optional extra, and heavy.
        from worker.engine.rollouts.vllm_sampler import VllmSampler

        return VllmSampler(policy, settings=settings)
    return TransformersSampler(policy)
