"""Packing: which keys a query attends to, what a pass saves, and the test whether a model supports it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.core.settings.choices import TeacherWeights
from tests.worker.engine.tiny import tiny_policy
from worker.engine.model.packed_attention import MASK_ALIGNMENT
from worker.engine.model.packing import Packing, can_pack
from worker.engine.model.policy import LIVE_ADAPTER, SNAPSHOT_ADAPTER
from worker.engine.model.traits import causal_model, model_traits
from worker.engine.rollouts.logprobs import completion_logps, shares_contexts
from worker.engine.rollouts.prompts import Context

GROUPS = st.lists(st.tuples(st.integers(1, 90), st.lists(st.integers(1, 40), min_size=1, max_size=12)), min_size=1)


def make_packing(groups):
    """Pack interleaved completions and contexts of these lengths; the n-th context's tokens are n."""
    turns = [(index, turn) for index, (_, lengths) in enumerate(groups) for turn in range(len(lengths))]
    turns.sort(key=lambda pair: pair[1])
    contexts = [(index,) * groups[index][0] for index, _ in turns]
    lengths = [groups[index][1][turn] for index, turn in turns]
    ids_BT = 1000 + torch.arange(len(turns))[:, None].expand(-1, max(lengths))
    return contexts, lengths, Packing.of(contexts, ids_BT, lengths, dtype=torch.float32)


def attended_keys(packing):
    """Return the keys that each token attends to, by index."""
    found = {}
    for block in packing.blocks:
        bias_RTS = block.bias_R1TS
        for row, queries in enumerate(block.query_RT.tolist()):
            keys = block.key_RS[row]
            for column, index in enumerate(queries):
                if block.is_query_RT[row, column]:
                    assert index not in found
                    attended = keys[: column + 1] if bias_RTS is None else keys[bias_RTS[row, 0, column] == 0]
                    found[index] = attended.tolist()
    return found


@given(groups=GROUPS)
def test_every_token_attends_to_its_context_and_to_its_completion_so_far(groups):
    contexts, lengths, packing = make_packing(groups)
    ids, positions = packing.input_ids_1N[0].tolist(), packing.position_ids_1N[0].tolist()
    found = attended_keys(packing)
    assert sorted(found) == list(range(len(ids)))
    for index, keys in found.items():
        own = contexts[ids[index] - 1000][0] if ids[index] >= 1000 else ids[index]
        assert sorted({(ids[other], positions[other]) for other in keys}) == sorted(
            [(own, position) for position in range(min(groups[own][0], positions[index] + 1))]
            + [(ids[index], position) for position in range(groups[own][0], positions[index] + 1)]
        )
        assert len(keys) == positions[index] + 1, "no key is attended twice"
    outputs = torch.cat([block.query_RT.flatten() for block in packing.blocks])
    assert outputs[packing.output_index_N].tolist() == list(range(len(ids)))
    for b, length in enumerate(lengths):
        states = packing.state_index_BT[b, :length].tolist()
        assert [positions[index] for index in states] == list(
            range(len(contexts[b]) - 1, len(contexts[b]) - 1 + length)
        )
        assert [ids[index] for index in states] == [contexts[b][-1]] + [1000 + b] * (length - 1)


@given(groups=GROUPS)
def test_copied_keys_are_linear_in_the_tokens_of_the_row(groups):
    _, _, packing = make_packing(groups)
    num_tokens = packing.input_ids_1N.shape[1]
    rounded = MASK_ALIGNMENT * sum(len(block.key_RS) for block in packing.blocks)
    assert sum(block.key_RS.numel() for block in packing.blocks) <= 6 * num_tokens + rounded
    assert sum(block.query_RT.numel() for block in packing.blocks) <= 6 * num_tokens + rounded


def bytes_saved_for_backward(policy, *, num_completions, completion_length):
    """Return the bytes that a pass saves, for completions that share a context of 400 tokens."""
    context = Context(tuple(range(5, 205)) * 2)
    ids_BT = torch.full((num_completions, completion_length), 7)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        completion_logps(policy, [context] * num_completions, ids_BT, torch.ones_like(ids_BT) > 0, temperature=1.0)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_many_short_completions_of_a_long_context_save_as_much_as_one_with_all_their_tokens():
    policy = tiny_policy(random_adapters=True)
    assert shares_contexts(policy)
    many = bytes_saved_for_backward(policy, num_completions=32, completion_length=3)
    assert many < 1.5 * bytes_saved_for_backward(policy, num_completions=1, completion_length=96)


@pytest.mark.parametrize("weights", list(TeacherWeights))
def test_model_traits_do_not_depend_on_the_adapters(weights):
    policy = tiny_policy(random_adapters=True)
    live, snapshot = policy.adapter(LIVE_ADAPTER), policy.adapter(SNAPSHOT_ADAPTER)
    with torch.no_grad():
        for parameter in (*live.values(), *snapshot.values()):
            parameter.fill_(torch.nan)
    with policy.weights(weights):
        found = model_traits(policy)
    assert found.supports_packing
    assert found.plain_head
    assert all(parameter.requires_grad for parameter in live.values())
    assert not any(parameter.requires_grad for parameter in snapshot.values())
    with torch.no_grad():
        assert policy.model(input_ids=torch.tensor([[1, 2]])).logits.isnan().all(), "the adapter is active again"


@pytest.mark.parametrize(
    ("error", "propagates"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_out_of_memory_in_the_packing_test_is_not_taken_for_an_unsupported_model(error, propagates):
    body = causal_model(tiny_policy()).base_model

    def fail(*_):
        raise error

    body.layers[0].register_forward_pre_hook(fail)
    if propagates:
        with pytest.raises(type(error), match=str(error)):
            can_pack(body)
    else:
        assert not can_pack(body)
