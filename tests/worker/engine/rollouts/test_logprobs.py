"""Scoring: micro-batches within their budget, contexts run once, the same numbers as sequences run whole."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft.tuners.lora.layer import Linear as PeftLinear
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)

from tests.worker.engine.rollouts.test_rollouts import SHAPE
from tests.worker.engine.tiny import rollout_contexts, solution_contexts, tiny_policy, tiny_settings, tiny_tokenizer
from tests.worker.engine.training.test_update import ragged, rollouts_of
from worker.engine.model import token_logprobs
from worker.engine.model.lora import FusedLoraLinear
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.model.policy_loading import build_policy
from worker.engine.model.traits import causal_model, model_traits
from worker.engine.rollouts.logprobs import (
    completion_logps,
    completion_states,
    micro_batch_inputs,
    plan_micro_batches,
    plan_rollout_batches,
    project,
    shares_contexts,
    student_contexts,
    tokens_run,
)

ARCHITECTURES = [
    LlamaConfig(**SHAPE),
    MistralConfig(**SHAPE, sliding_window=16),
    Qwen3Config(**SHAPE, head_dim=8),
    GPT2Config(vocab_size=261, n_embd=32, n_layer=2, n_head=4, initializer_range=0.15, eos_token_id=0),
    GPTNeoXConfig(**{key: value for key, value in SHAPE.items() if key != "num_key_value_heads"}),
    Gemma2Config(**SHAPE, head_dim=8, sliding_window=16, final_logit_softcapping=5.0),
    GraniteConfig(**SHAPE, logits_scaling=3.0),
    CohereConfig(**SHAPE, logit_scale=0.3),
]
SHARES = {"llama", "qwen3", "gpt2", "gpt_neox", "granite", "cohere"}
PLAIN_HEAD = {"llama", "mistral", "qwen3", "gpt2", "gpt_neox"}


def policy_of(config, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    return build_policy(model, tokenizer=tiny_tokenizer(), settings=tiny_settings(**changes))


@given(lengths=st.lists(st.integers(1, 60), max_size=40), budget=st.integers(1, 300))
def test_every_sequence_is_in_one_micro_batch_within_the_budget_or_alone(lengths, budget):
    plan = plan_micro_batches(
        range(len(lengths)), total_lengths=lengths, completion_lengths=lengths, micro_batch_tokens=budget
    )
    batches = [batch.sequences.tolist() for batch in plan]
    assert sorted(b for batch in batches for b in batch) == list(range(len(lengths)))
    for batch, sequences in zip(plan, batches, strict=True):
        widest = max(lengths[b] for b in sequences)
        assert len(sequences) == 1 or widest * len(sequences) <= budget
        assert batch.num_completion_tokens == widest


def test_similar_lengths_share_a_micro_batch():
    plan = plan_micro_batches(
        range(4), total_lengths=[10, 99, 11, 98], completion_lengths=[1, 2, 3, 4], micro_batch_tokens=200
    )
    assert [batch.sequences.tolist() for batch in plan] == [[1, 3], [2, 0]]


@pytest.mark.parametrize("budget", [1, 60, 150, 9999])
def test_where_contexts_are_shared_a_prompts_sequences_are_kept_together_within_the_budget_or_alone(budget):
    policy = tiny_policy()
    rollouts = ragged(rollouts_of(policy))
    hinted, live = solution_contexts(policy, rollouts), [b for b in range(16) if b not in (2, 3, 9)]
    plan = plan_rollout_batches(
        rollouts, sequences=live, teacher_contexts=[hinted], micro_batch_tokens=budget, shared=True
    )
    batches = [batch.sequences.tolist() for batch in plan]
    order = [b for batch in batches for b in batch]
    assert sorted(order) == live
    prompts = [b // 4 for b in order]
    assert sum(a != b for a, b in pairwise(prompts)) == len(set(prompts)) - 1
    for batch, sequences in zip(plan, batches, strict=True):
        _, mask = micro_batch_inputs(rollouts, batch)
        assert mask.any(0).all(), "no wider than its longest completion"
        read = [hinted[b] for b in sequences]
        needed = sum(len(ids) for ids in {context.ids for context in read}) + int(mask.sum())
        assert len(sequences) == 1 or needed <= budget
        assert tokens_run(policy, read, mask) == needed - len(sequences)
    assert (len(plan) == 1) == (budget == 9999)


@pytest.mark.parametrize("config", ARCHITECTURES, ids=lambda config: config.model_type)
def test_any_architecture_scores_as_its_own_forward_does_one_by_one(config):
    """Whether its contexts are shared or not, whatever its head does to the logits."""
    policy = policy_of(config)
    assert shares_contexts(policy) == (config.model_type in SHARES)
    assert model_traits(policy).plain_head == (config.model_type in PLAIN_HEAD)
    rollouts = ragged(rollouts_of(policy, tokens=24))
    contexts = rollout_contexts(rollouts)
    with torch.no_grad():
        found = completion_logps(policy, contexts, rollouts.completion_ids_BT, rollouts.mask_BT, temperature=0.7)
        for b, (context, length) in enumerate(zip(contexts, rollouts.lengths_B.tolist(), strict=True)):
            completion = rollouts.completion_ids_BT[b, :length]
            logits = policy.model(input_ids=torch.tensor([[*context.ids, *completion.tolist()]])).logits[0]
            expected = torch.log_softmax(logits[len(context.ids) - 1 : -1] / 0.7, -1)
            torch.testing.assert_close(
                found[b, :length], expected.gather(1, completion[:, None])[:, 0], rtol=0, atol=1e-5
            )
            assert not found[b, length:].any()


def gradients_of(policy, plan, rollouts, *, weights):
    for parameter in policy.adapter(LIVE_ADAPTER).values():
        parameter.grad = None
    for batch in plan:
        ids, mask = micro_batch_inputs(rollouts, batch)
        logps = completion_logps(policy, student_contexts(rollouts, batch), ids, mask, temperature=0.8)
        (logps * weights[batch.sequences, : batch.num_completion_tokens]).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in policy.adapter(LIVE_ADAPTER).items()}


def naive_gradients(policy, rollouts, *, weights):
    """Compute them sequence by sequence without padding, from all logits, by plain log-softmax."""
    for parameter in policy.adapter(LIVE_ADAPTER).values():
        parameter.grad = None
    for b, length in enumerate(rollouts.lengths_B.tolist()):
        context, completion = rollouts.prompt_of(b).student.ids, rollouts.completion_ids_BT[b, :length]
        logits = policy.model(input_ids=torch.tensor([[*context, *completion.tolist()]])).logits[0]
        logps = torch.log_softmax(logits[len(context) - 1 : -1] / 0.8, -1).gather(1, completion[:, None])[:, 0]
        (logps * weights[b, :length]).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in policy.adapter(LIVE_ADAPTER).items()}


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "down_proj", "lm_head"), ("v_proj", "embed_tokens")])
@pytest.mark.parametrize("chunk", [261 * 5, 2**23])
def test_shared_contexts_carry_the_gradient_of_sequences_run_alone_in_float64(monkeypatch, chunk, targets):
    monkeypatch.setitem(token_logprobs.CHUNK_ELEMENTS, "cpu", chunk)
    policy = tiny_policy(tiny_settings(lora_target_modules=targets), random_adapters=True)
    rollouts = ragged(rollouts_of(policy))
    policy.model.double()
    weights = torch.randn(rollouts.mask_BT.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    plan = plan_rollout_batches(rollouts, sequences=range(16), teacher_contexts=[], micro_batch_tokens=130, shared=True)
    assert 1 < len(plan) < 16
    expected = naive_gradients(policy, rollouts, weights=weights)
    found = gradients_of(policy, plan, rollouts, weights=weights)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-10)


def test_states_and_projection_are_the_two_halves_of_the_log_probabilities():
    policy = tiny_policy(random_adapters=True)
    rollouts = ragged(rollouts_of(policy))
    contexts, ids, mask = rollout_contexts(rollouts), rollouts.completion_ids_BT, rollouts.mask_BT
    with torch.no_grad():
        logits = project(policy, completion_states(policy, contexts, ids, mask))
        by_hand = torch.log_softmax(logits, -1).gather(2, ids[:, :, None]).squeeze(2).where(mask, 0.0)
        found = completion_logps(policy, contexts, ids, mask, temperature=1.0)
        unmasked = completion_states(policy, contexts, ids)
    torch.testing.assert_close(found, by_hand, rtol=0, atol=1e-6)
    torch.testing.assert_close(project(policy, unmasked)[mask], logits[mask], rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_adapter_gives_pefts_own_output_and_gradients(dtype):
    policy = tiny_policy(random_adapters=True)
    policy.model.get_base_model().to(dtype)
    for parameter in (*policy.adapter("default").values(), *policy.adapter("snapshot").values()):
        parameter.data = parameter.data.float()
    layer = policy.model.get_base_model().model.layers[0].mlp.up_proj
    assert isinstance(layer, FusedLoraLinear)
    x = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    grad_output = torch.randn(2, 7, 64, generator=torch.Generator().manual_seed(1)).to(dtype)

    def passed(forward):
        inputs = x.clone().requires_grad_()
        output = forward(layer, inputs)
        trained = (inputs, layer.lora_A["default"].weight, layer.lora_B["default"].weight)
        return [output, *torch.autograd.grad(output, trained, grad_output)]

    tolerance = {torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    for fused, plain in zip(passed(FusedLoraLinear.forward), passed(PeftLinear.forward), strict=True):
        assert fused.dtype == plain.dtype
        torch.testing.assert_close(fused, plain, rtol=tolerance, atol=tolerance)
    with torch.no_grad():
        without_grad = layer(x)
    assert torch.equal(without_grad, passed(FusedLoraLinear.forward)[0])


def test_gradient_checkpointing_changes_no_gradient_and_keeps_less():
    found, kept = [], []
    for checkpointing in (False, True):
        policy = tiny_policy(tiny_settings(gradient_checkpointing=checkpointing), random_adapters=True, layers=6)
        assert causal_model(policy).is_activation_checkpointing == checkpointing
        rollouts = ragged(rollouts_of(policy))
        policy.model.double()
        weights = torch.ones(rollouts.mask_BT.shape, dtype=torch.float64)
        plan = plan_rollout_batches(
            rollouts, sequences=range(16), teacher_contexts=[], micro_batch_tokens=9999, shared=shares_contexts(policy)
        )
        kept.append(0)

        def keep(tensor, kept=kept):
            kept[-1] += tensor.numel()
            return tensor

        policy.model.train()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logps = completion_logps(
                policy, rollout_contexts(rollouts), rollouts.completion_ids_BT, rollouts.mask_BT, temperature=0.8
            )
        assert logps.requires_grad
        found.append(gradients_of(policy, plan, rollouts, weights=weights))
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=1e-10)
    assert kept[1] < kept[0] / 3
