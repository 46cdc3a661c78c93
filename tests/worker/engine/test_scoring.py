"""Micro-batches: every sequence once, alike lengths together, within the budget."""

from hypothesis import given
from hypothesis import strategies as st

from worker.engine.scoring import plan_micro_batches


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


def test_alike_lengths_go_together():
    plan = plan_micro_batches(
        range(4), total_lengths=[10, 99, 11, 98], completion_lengths=[1, 2, 3, 4], micro_batch_tokens=200
    )
    assert [batch.sequences.tolist() for batch in plan] == [[1, 3], [2, 0]]
