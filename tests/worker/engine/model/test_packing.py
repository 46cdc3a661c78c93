"""Packing: who looks at whom, what a pass keeps, and how it is found out that a model can be packed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.engine.tiny import tiny_policy
from worker.engine.model.packed_attention import ALIGNED
from worker.engine.model.packing import Packing, can_pack
from worker.engine.model.policy import LIVE_ADAPTER, SNAPSHOT_ADAPTER
from worker.engine.model.traits import anatomy, causal_model
from worker.engine.rollouts.logprobs import completion_logps, shares_contexts
from worker.engine.rollouts.prompts import Context
from worker.engine.types import TeacherWeights

GROUPS = st.lists(st.tuples(st.integers(1, 90), st.lists(st.integers(1, 40), min_size=1, max_size=12)), min_size=1)


def packed(groups):
    """Completions of these lengths after contexts of these lengths, in turns; the n-th context's tokens are n."""
    turns = [(place, turn) for place, (_, lengths) in enumerate(groups) for turn in range(len(lengths))]
    turns.sort(key=lambda pair: pair[1])
    contexts = [(place,) * groups[place][0] for place, _ in turns]
    lengths = [groups[place][1][turn] for place, turn in turns]
    ids_BT = 1000 + torch.arange(len(turns))[:, None].expand(-1, max(lengths))
    return contexts, lengths, Packing.of(contexts, ids_BT, lengths, dtype=torch.float32)


def looked_at(packing):
    """By place: what that token looks at."""
    found = {}
    for block in packing.blocks:
        bias_RTS = block.bias_R1TS
        for row, queries in enumerate(block.query_RT.tolist()):
            keys = block.key_RS[row]
            for column, place in enumerate(queries):
                if block.is_query_RT[row, column]:
                    assert place not in found
                    seen = keys[: column + 1] if bias_RTS is None else keys[bias_RTS[row, 0, column] == 0]
                    found[place] = seen.tolist()
    return found


@given(groups=GROUPS)
def test_every_token_looks_at_its_context_and_at_what_its_completion_has_written(groups):
    contexts, lengths, packing = packed(groups)
    ids, positions = packing.input_ids_1N[0].tolist(), packing.position_ids_1N[0].tolist()
    found = looked_at(packing)
    assert sorted(found) == list(range(len(ids)))
    for place, seen in found.items():
        own = contexts[ids[place] - 1000][0] if ids[place] >= 1000 else ids[place]
        assert sorted({(ids[other], positions[other]) for other in seen}) == sorted(
            [(own, position) for position in range(min(groups[own][0], positions[place] + 1))]
            + [(ids[place], position) for position in range(groups[own][0], positions[place] + 1)]
        )
        assert len(seen) == positions[place] + 1, "nothing is seen twice"
    answers = torch.cat([block.query_RT.flatten() for block in packing.blocks])
    assert answers[packing.answer_N].tolist() == list(range(len(ids)))
    for b, length in enumerate(lengths):
        before = packing.states_BT[b, :length].tolist()
        assert [positions[place] for place in before] == list(
            range(len(contexts[b]) - 1, len(contexts[b]) - 1 + length)
        )
        assert [ids[place] for place in before] == [contexts[b][-1]] + [1000 + b] * (length - 1)


@given(groups=GROUPS)
def test_the_keys_that_are_copied_grow_with_the_tokens_of_the_row(groups):
    _, _, packing = packed(groups)
    num_tokens = packing.input_ids_1N.shape[1]
    rounded = ALIGNED * sum(len(block.key_RS) for block in packing.blocks)
    assert sum(block.key_RS.numel() for block in packing.blocks) <= 6 * num_tokens + rounded
    assert sum(block.query_RT.numel() for block in packing.blocks) <= 6 * num_tokens + rounded


def kept_for_backward(policy, *, num_completions, completion_length):
    """Numbers that a pass keeps, for completions that share a context of 400 tokens."""
    context = Context(tuple(range(5, 205)) * 2)
    ids_BT = torch.full((num_completions, completion_length), 7)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        completion_logps(policy, [context] * num_completions, ids_BT, torch.ones_like(ids_BT) > 0, temperature=1.0)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_many_short_completions_of_a_long_context_keep_as_much_as_one_with_all_their_tokens():
    policy = tiny_policy(stirred=True)
    assert shares_contexts(policy)
    many = kept_for_backward(policy, num_completions=32, completion_length=3)
    assert many < 1.5 * kept_for_backward(policy, num_completions=1, completion_length=96)


@pytest.mark.parametrize("weights", list(TeacherWeights))
def test_what_a_model_allows_does_not_depend_on_its_adapters(weights):
    policy = tiny_policy(stirred=True)
    live, snapshot = policy.adapter(LIVE_ADAPTER), policy.adapter(SNAPSHOT_ADAPTER)
    with torch.no_grad():
        for parameter in (*live.values(), *snapshot.values()):
            parameter.fill_(torch.nan)
    with policy.weights(weights):
        found = anatomy(policy)
    assert found.packs
    assert found.plain_head
    assert all(parameter.requires_grad for parameter in live.values())
    assert not any(parameter.requires_grad for parameter in snapshot.values())
    with torch.no_grad():
        assert policy.model(input_ids=torch.tensor([[1, 2]])).logits.isnan().all(), "the adapter is at work again"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_memory_that_runs_out_in_the_trial_does_not_pass_for_a_model_that_cannot_be_packed(error, told):
    body = causal_model(tiny_policy()).base_model

    def fail(*_):
        raise error

    body.layers[0].register_forward_pre_hook(fail)
    if told:
        with pytest.raises(type(error), match=str(error)):
            can_pack(body)
    else:
        assert not can_pack(body)
