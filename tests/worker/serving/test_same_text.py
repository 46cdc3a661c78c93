"""Verifier, evaluation, playground and credit view see the same text of a completion."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from backend.chat.protocol import ChatRequest, TextDelta
from tests.worker.engine.thinking import WRITTEN, thinking_policy
from tests.worker.engine.tiny import Recorder, Verdict, tiny_settings, tiny_tasks, vowel_share
from worker.engine.distributed import ProcessGroup
from worker.engine.evaluation.evaluate import evaluate
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.policy import Policy
from worker.engine.rollouts.prompts import LengthLimits, Prompt, PromptBuilder
from worker.engine.rollouts.sampling import RolloutContext
from worker.engine.rollouts.transformers_sampler import TransformersSampler
from worker.engine.settings import Settings
from worker.engine.types import Completion
from worker.serving.batch import SampledToken
from worker.serving.model_runner import ModelRunner, RunnerLimits

LIMITS = RunnerLimits(sequences=8, tokens=4000, default_tokens=100, adapters=1)


@dataclass
class Verifier:
    """Remembers the texts that it scores."""

    texts: list[str] = field(default_factory=list)

    def __call__(self, completions: Sequence[Completion]) -> list[Verdict]:
        self.texts += [completion.text for completion in completions]
        return vowel_share(completions)


@dataclass
class RememberingSampler:
    """Remembers the tokens that it samples."""

    sampler: TransformersSampler
    ids: list[list[int]] = field(default_factory=list)

    def sample(
        self, prompts: Sequence[Prompt], *, num_generations: int, uniforms_TB: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        ids_BT, logps_BT = self.sampler.sample(
            prompts, num_generations=num_generations, uniforms_TB=uniforms_TB, temperature=temperature
        )
        self.ids += ids_BT.tolist()
        return ids_BT, logps_BT


def settings_of(*, skip: bool) -> Settings:
    return tiny_settings(
        max_steps=1,
        token_share=1.0,
        max_completion_tokens=60,
        temperature=3.0,
        micro_batch_tokens=4000,
        skip_special_tokens=skip,
    )


def streamed(policy: Policy, ids: Sequence[int], *, skip: bool) -> str:
    """Return the playground's text of these tokens."""
    request = ChatRequest(
        id="chatcmpl-1",
        project="proj-default",
        model="ft:x",
        base="x",
        adapter=None,
        messages=[{"role": "user", "content": "How many?"}],
        max_tokens=100,
        temperature=1.0,
        top_p=1.0,
        n=1,
        stop=[],
        skip_special_tokens=skip,
        seed=0,
        top_logprobs=None,
    )
    runner = ModelRunner(policy, limits=LIMITS, fetch=lambda _: pytest.fail("no adapter"))
    runner.add_request(request)
    group = runner.abort([request.id])[0]
    (slot,) = group.start()
    pieces = [
        piece
        for token in [*ids, policy.eos_ids[0]]
        if slot in group.choices
        for piece in group.append_token(SampledToken(slot, token, token in policy.eos_ids, None))
    ]
    return "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))


@pytest.mark.parametrize("skip", [False, True])
def test_verifier_credit_view_and_playground_see_the_same_text(skip: bool) -> None:
    settings, verifier, recorder = settings_of(skip=skip), Verifier(), Recorder()
    policy = thinking_policy(settings)
    run(
        Experiment(settings=settings, policy=policy, tasks=tiny_tasks(7), held_out=[], reward=verifier),
        observer=recorder,
        resume=None,
    )
    rollouts = recorder.steps[0].rollouts
    assert [rollout.completion for rollout in rollouts] == verifier.texts
    for rollout in rollouts:
        assert rollout.tokens is not None
        assert "".join(rollout.tokens.text) == rollout.completion
        assert streamed(policy, rollout.tokens.ids, skip=skip) == rollout.completion
    assert any(word in text for text in verifier.texts for word in WRITTEN) == (not skip)


@pytest.mark.parametrize("skip", [False, True])
def test_the_evaluation_reads_tokens_as_training_does(skip: bool) -> None:
    settings, verifier = settings_of(skip=skip), Verifier()
    policy = thinking_policy(settings)
    sampler = RememberingSampler(TransformersSampler(policy))
    prompt_builder = PromptBuilder(policy.tokenizer, LengthLimits(400, 400), None)
    with torch.no_grad():
        evaluate(
            RolloutContext(
                settings=settings,
                policy=policy,
                sampler=sampler,
                reward=verifier,
                component_weights={},
                world=ProcessGroup.single(),
            ),
            [prompt_builder.prompt(task) for task in tiny_tasks(4)],
            check_control=lambda: None,
        )
    assert [streamed(policy, ids, skip=skip) for ids in sampler.ids] == verifier.texts
    assert any(word in text for text in verifier.texts for word in WRITTEN) == (not skip)
