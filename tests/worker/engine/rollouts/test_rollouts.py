"""Sampling: the right distribution, the right mask, the same numbers every time."""

import threading
from dataclasses import replace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)

from tests.worker.engine.tiny import (
    rollout_context,
    sample_rollouts,
    tiny_model,
    tiny_policy,
    tiny_prompt_builder,
    tiny_prompts,
    tiny_settings,
    tiny_tokenizer,
    vowel_share,
)
from tests.worker.engine.training.test_update import rollouts_of
from worker.engine.model.policy_loading import build_policy
from worker.engine.rollouts.rollouts import completion_mask, rollouts_from
from worker.engine.rollouts.sampling import sample_and_score, sample_chunks, untimed
from worker.engine.rollouts.transformers_sampler import TransformersSampler, decode, inverse_cdf_sample


def test_tokens_are_drawn_with_their_probabilities_at_the_temperature():
    logits = torch.tensor([2.0, 0.0, float("-inf"), 1.0, -1.0])
    uniforms = torch.rand(40_000, generator=torch.Generator().manual_seed(0))
    tokens, logps = inverse_cdf_sample(logits.expand(40_000, 5), uniforms, temperature=0.7)
    expected = torch.softmax(logits / 0.7, 0)
    found = torch.bincount(tokens, minlength=5) / 40_000
    assert found[2] == 0
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01)
    torch.testing.assert_close(logps, expected.log()[tokens])


def test_a_uniform_number_next_to_one_draws_the_last_possible_token():
    logits = torch.tensor([[0.3, 0.1, -0.7, float("-inf"), float("-inf")]])
    for number in (1 - 2**-24, 1 - 2**-23):
        tokens, logps = inverse_cdf_sample(logits, torch.tensor([number]), temperature=1.0)
        assert tokens.item() == 2
        assert logps.isfinite().all()
    tokens, _ = inverse_cdf_sample(logits.flip(1), torch.tensor([0.0]), temperature=1.0)
    assert tokens.item() == 2


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([5, 9, 5, 5], [True, True, False, False]),
        ([9, 9, 9, 9], [True, False, False, False]),
        ([5, 5, 5, 5], [True] * 4),
        ([5, 5, 5, 8], [True] * 4),
        ([8, 5, 9, 5], [True, False, False, False]),
    ],
)
def test_the_first_end_of_sequence_is_inside_the_mask_and_what_follows_is_not(ids, expected):
    assert completion_mask(torch.tensor([ids]), eos_ids=(8, 9)).tolist() == [expected]


def eager_policy(*, pad):
    """A policy whose model ends its completions often, at different places."""
    model = tiny_model()
    model.generation_config.eos_token_id = list(range(100, 112))
    return build_policy(model, tokenizer=tiny_tokenizer(pad=pad), settings=tiny_settings())


@pytest.mark.parametrize("pad", ["<|pad|>", None])
def test_the_mask_is_right_also_where_pad_is_eos(pad):
    policy = eager_policy(pad=pad)
    assert (policy.pad_id in policy.eos_ids) == (pad is None)
    rollouts = rollouts_of(policy, prompts=6, samples=8, tokens=40)
    lengths = rollouts.lengths_B.tolist()
    assert len(set(lengths)) > 5, "the lengths must differ for this test to be meaningful"
    assert 0 < int(rollouts.truncated_B.sum()) < 48
    for ids, mask, length, truncated in zip(
        rollouts.completion_ids_BT.tolist(),
        rollouts.mask_BT.tolist(),
        lengths,
        rollouts.truncated_B.tolist(),
        strict=True,
    ):
        assert mask == [True] * length + [False] * (len(ids) - length)
        assert not set(policy.eos_ids) & set(ids[: length - 1])
        assert (ids[length - 1] in policy.eos_ids) == (not truncated)
        assert set(ids[length:]) <= {policy.pad_id}
        assert not truncated or length == 40


SHAPE = {
    "vocab_size": 261,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": None,
}
SLIDING = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 8}


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SHAPE),
        MistralConfig(**SHAPE, sliding_window=16),
        Gemma3TextConfig(**SHAPE, **SLIDING),
        Qwen3Config(**SHAPE, head_dim=8),
        GPT2Config(vocab_size=261, n_embd=32, n_layer=2, n_head=4, initializer_range=0.15, eos_token_id=0),
    ],
    ids=lambda config: config.model_type,
)
def test_a_completion_does_not_depend_on_the_rest_of_the_batch(config):
    """Neither padding, nor the cache, nor the removal of ended sequences shifts anything, in any architecture."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = list(range(100, 112))
    policy = build_policy(model, tokenizer=tiny_tokenizer(), settings=tiny_settings())
    together = rollouts_of(policy, prompts=5, samples=4, tokens=40)
    uniforms = torch.rand(40, 20, generator=torch.Generator().manual_seed(3))
    for b in range(20):
        ids, logps = alone(policy, together.prompt_of(b), uniforms[:, b])
        length = int(together.lengths_B[b])
        assert together.completion_ids_BT[b, :length].tolist() == ids
        torch.testing.assert_close(together.sampling_logps_BT[b, :length], torch.tensor(logps), rtol=0, atol=1e-5)


def alone(policy, prompt, uniforms):
    """Sample one completion without cache, padding or a batch."""
    ids, logps = [], []
    for number in uniforms:
        with torch.no_grad():
            logits = policy.model(input_ids=torch.tensor([[*prompt.student.ids, *ids]])).logits[:, -1]
        token, logp = inverse_cdf_sample(logits, number[None], temperature=1.0)
        ids.append(token.item())
        logps.append(logp.item())
        if ids[-1] in policy.eos_ids:
            break
    return ids, logps


def test_the_reward_gets_the_students_text_without_markers_or_hint():
    policy = eager_policy(pad="<|pad|>")
    rollouts = sample_rollouts(
        policy,
        tiny_prompts(policy, 2),
        num_generations=3,
        max_completion_tokens=20,
        temperature=1.0,
        generator=torch.Generator().manual_seed(0),
    )
    completions = rollouts.completions
    assert [completion.task.row for completion in completions] == [1, 1, 1, 2, 2, 2]
    for b, completion in enumerate(completions):
        ids = rollouts.completion_ids_BT[b, : int(rollouts.lengths_B[b])].tolist()
        assert completion.text == policy.tokenizer.decode(
            [token for token in ids if token > 4 and token not in policy.eos_ids]
        )


def test_the_hint_has_no_way_into_what_the_student_samples():
    policy = tiny_policy()
    plain = tiny_prompts(policy, 3)
    hints = {"answer": "77", "solution": "78", "trajectory": "79", "privileged": "80"}
    hinted = [tiny_prompt_builder(policy).prompt(replace(prompt.task, **hints)) for prompt in plain]
    found = [
        sample_rollouts(
            policy,
            prompts,
            num_generations=2,
            max_completion_tokens=6,
            temperature=1.0,
            generator=torch.Generator().manual_seed(0),
        )
        for prompts in (plain, hinted)
    ]
    assert [prompt.student for prompt in plain] == [prompt.student for prompt in hinted]
    assert torch.equal(found[0].completion_ids_BT, found[1].completion_ids_BT)


@pytest.mark.parametrize("at_once", [1, 3, 5, 8, 12, 1000])
def test_the_number_of_sequences_sampled_at_a_time_changes_no_completion(at_once):
    policy = eager_policy(pad="<|pad|>")
    prompts = tiny_prompts(policy, 4)

    def sampled(sequences_at_once):
        return sample_rollouts(
            policy,
            prompts,
            num_generations=5,
            max_completion_tokens=20,
            temperature=1.0,
            generator=torch.Generator().manual_seed(4),
            sequences_at_once=sequences_at_once,
        )

    whole, parts = sampled(1000), sampled(at_once)
    assert torch.equal(parts.completion_ids_BT, whole.completion_ids_BT)
    assert torch.equal(parts.mask_BT, whole.mask_BT)
    assert parts.texts == whole.texts
    assert parts.prompts == whole.prompts
    torch.testing.assert_close(parts.sampling_logps_BT, whole.sampling_logps_BT, rtol=0, atol=1e-5)


def test_no_more_sequences_are_sampled_at_a_time_than_requested():
    policy, seen = tiny_policy(), []

    class Watched(TransformersSampler):
        def sample(self, prompts, *, num_generations, uniforms_TB, temperature):
            seen.append((len(prompts), num_generations, uniforms_TB.shape[1]))
            return super().sample(
                prompts, num_generations=num_generations, uniforms_TB=uniforms_TB, temperature=temperature
            )

    for at_once in (12, 3):
        context = rollout_context(policy, sampler=Watched(policy), max_completion_tokens=3, rollout_sequences=at_once)
        generator = torch.Generator().manual_seed(4)
        list(sample_chunks(context, tiny_prompts(policy, 5), num_generations=4, generator=generator))
    assert seen[:2] == [(3, 4, 12), (2, 4, 8)]
    assert seen[2:] == [(1, 3, 3), (1, 1, 1)] * 5


def test_one_chunk_is_scored_while_the_next_is_sampled():
    policy, scored_in = tiny_policy(), []
    sampled_second, scoring_first = threading.Event(), threading.Event()

    class Waiting(TransformersSampler):
        parts = 0

        def sample(self, *arguments, **options):
            self.parts += 1
            if self.parts == 2:
                assert scoring_first.wait(20), "the first chunk must be scored before the second is sampled"
                sampled_second.set()
            return super().sample(*arguments, **options)

    def reward(completions):
        scored_in.append([completion.task.row for completion in completions])
        if len(scored_in) == 1:
            scoring_first.set()
            assert sampled_second.wait(20), "the second chunk must be sampled before the first is scored"
        return vowel_share(completions)

    context = rollout_context(policy, sampler=Waiting(policy), max_completion_tokens=6, rollout_sequences=2)
    rollouts, scored = sample_and_score(
        replace(context, reward=reward),
        tiny_prompts(policy, 3),
        num_generations=2,
        generator=torch.Generator().manual_seed(4),
        phase=untimed,
    )
    assert scored_in == [[1, 1], [2, 2], [3, 3]]
    assert scored.rewards_B.tolist() == [record.score for record in vowel_share(rollouts.completions)]


def test_a_fault_of_the_reward_reaches_the_caller():
    def reward(completions):
        raise ZeroDivisionError("in the verifier")

    policy = tiny_policy()
    with pytest.raises(ZeroDivisionError, match="in the verifier"):
        sample_and_score(
            replace(rollout_context(policy, rollout_sequences=2), reward=reward),
            tiny_prompts(policy, 3),
            num_generations=2,
            generator=torch.Generator().manual_seed(4),
            phase=untimed,
        )


@pytest.mark.parametrize(
    "config",
    [LlamaConfig(**SHAPE), Qwen3Config(**SHAPE, head_dim=8), Gemma3TextConfig(**SHAPE, **SLIDING)],
    ids=lambda config: config.model_type,
)
def test_static_shapes_give_the_completions_of_shrinking_ones(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = list(range(100, 112))
    policy = build_policy(model, tokenizer=tiny_tokenizer(), settings=tiny_settings())
    prompts = tiny_prompts(policy, 5)
    uniforms = torch.rand(40, 20, generator=torch.Generator().manual_seed(3))

    def found(static):
        with torch.no_grad():
            ids, logps = decode(
                policy, prompts, num_generations=4, uniforms_TB=uniforms, temperature=1.0, static=static
            )
        return rollouts_from(policy, prompts, num_generations=4, ids_BT=ids, logps_BT=logps)

    static, shrinking = found(True), found(False)
    assert len(set(shrinking.lengths_B.tolist())) > 5
    assert torch.equal(static.completion_ids_BT, shrinking.completion_ids_BT)
    torch.testing.assert_close(static.sampling_logps_BT, shrinking.sampling_logps_BT, rtol=0, atol=1e-5)


def test_logits_after_an_end_of_sequence_may_be_nan():
    policy = eager_policy(pad="<|pad|>")
    prompts = tiny_prompts(policy, 5)
    uniforms = torch.rand(40, 20, generator=torch.Generator().manual_seed(3))

    def found():
        with torch.no_grad():
            ids, logps = decode(policy, prompts, num_generations=4, uniforms_TB=uniforms, temperature=1.0, static=True)
        return rollouts_from(policy, prompts, num_generations=4, ids_BT=ids, logps_BT=logps)

    def breaks(module, inputs, kwargs, output):
        output.logits[torch.isin(kwargs["input_ids"][:, -1], torch.tensor(policy.eos_ids))] = torch.nan
        return output

    sound = found()
    policy.model.get_base_model().register_forward_hook(breaks, with_kwargs=True)
    broken = found()
    assert torch.equal(broken.completion_ids_BT, sound.completion_ids_BT)
    assert torch.equal(broken.sampling_logps_BT, sound.sampling_logps_BT)
