"""Rows drawn by how much they can teach: weights, order, and what a history remembers."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.engine.tiny import tiny_settings
from worker.engine.rollouts.drawing import FLOOR, SolveHistory, drawn_rows, replacement_rows, weighted_order
from worker.engine.seeds import batch_indices, numpy_generator

INFORMATIVE = tiny_settings(sampling="informative")


def history_of(*groups):
    """Return the history of rows 0, 1, ... with one group each, in which so many of 8 are right."""
    history = SolveHistory()
    right_PG = np.array([[sample < right for sample in range(8)] for right in groups])
    history.add(range(len(groups)), right_PG)
    return history


def draw(step, *, history, num_rows, settings=INFORMATIVE):
    return drawn_rows(step, settings=settings, num_rows=num_rows, history=history)


def test_a_weight_is_the_variance_of_a_right_answer_and_a_row_never_drawn_has_the_largest():
    weights = history_of(0, 4, 8, 2).weights(5)
    smoothed = [1 / 10, 5 / 10, 9 / 10, 3 / 10, 1 / 2]
    assert weights.tolist() == pytest.approx([p * (1 - p) for p in smoothed])
    assert weights.max() == weights[4] == weights[1]


@given(st.lists(st.lists(st.integers(0, 8), min_size=2, max_size=2), max_size=30))
def test_every_weight_is_between_the_floor_and_that_of_a_row_never_drawn(seen):
    history = SolveHistory()
    for right in seen:
        history.add([0, 1], np.array([[sample < each for sample in range(8)] for each in right]))
    weights = history.weights(3)
    assert weights.min() >= FLOOR > 0
    assert weights.max() == weights[2] == 0.25


def test_what_was_seen_last_counts_most():
    history = history_of(0)
    for _ in range(3):
        history.add([0], np.ones((1, 8), dtype=bool))
    then_solved = history.right[0] / history.tried[0]
    assert 0.9 < then_solved < 1
    assert history.tried[0] == 8 + 4 + 2 + 1


def test_rows_are_drawn_as_often_as_their_weights_say_and_none_is_forgotten():
    history = history_of(*[0] * 20, *[4] * 20)
    weights = history.weights(40)
    counts = Counter(draw(step, history=history, num_rows=40)[0] for step in range(1, 6001))
    expected = weights / weights.sum() * 6000
    assert np.abs(np.array([counts[index] for index in range(40)]) - expected).max() < 5 * np.sqrt(expected.max())
    assert len(counts) == 40


def test_more_groups_have_a_signal_than_with_passes_over_rows_that_are_mostly_never_solved():
    rates, history, rng = np.array([0.5] * 8 + [0.0] * 32), SolveHistory(), np.random.default_rng(0)
    mixed = 0
    for step in range(1, 201):
        drawn = draw(step, history=history, num_rows=40)
        right_PG = rng.random((3, 8)) < rates[drawn][:, None]
        history.add(drawn, right_PG)
        mixed += int((right_PG.any(1) & ~right_PG.all(1)).sum())
    assert mixed / 600 > 2 * 8 / 40, "the share of rows that are sometimes solved"


@given(st.integers(1, 9), st.integers(1, 30))
def test_no_row_is_twice_in_a_step_that_could_do_without(num_rows, step):
    drawn = draw(step, history=history_of(0, 4), num_rows=max(2, num_rows))
    assert len(drawn) == 3
    counts = Counter(drawn)
    assert max(counts.values()) - min(counts.get(index, 0) for index in range(max(2, num_rows))) <= 1


def test_the_rows_are_a_function_of_seed_step_and_history_which_survives_json():
    history = history_of(0, 4, 8, 2, 1)
    again = SolveHistory()
    again.load_state_dict(json.loads(json.dumps(history.state_dict())))
    assert again == history
    first = [draw(step, history=history, num_rows=9) for step in range(1, 20)]
    assert first == [draw(step, history=again, num_rows=9) for step in range(1, 20)]
    other = tiny_settings(sampling="informative", seed=8)
    assert first != [draw(step, history=history, num_rows=9, settings=other) for step in range(1, 20)]


def test_uniform_rows_are_those_of_the_passes_whatever_the_history():
    uniform, history = tiny_settings(), history_of(0, 4, 8)
    for step in range(1, 8):
        expected = batch_indices(step, seed=7, batch_size=3, num_rows=7)
        assert draw(step, history=history, num_rows=7, settings=uniform) == expected
        order = numpy_generator(7, step=step, purpose="resampling 1").permutation(7).tolist()
        found = replacement_rows(
            step, settings=uniform, num_rows=7, history=history, round_index=1, tried={0, 3}, count=2
        )
        assert found == [index for index in order if index not in (0, 3)][:2]


def test_replacements_are_other_rows_drawn_by_weight():
    history = history_of(*[0] * 10, *[4] * 10)
    counts: Counter[int] = Counter()
    for step in range(1, 1001):
        found = replacement_rows(
            step, settings=INFORMATIVE, num_rows=20, history=history, round_index=0, tried={0, 10}, count=1
        )
        counts.update(found)
    assert not counts.keys() & {0, 10}
    assert sum(counts[index] for index in range(10, 20)) > 2 * sum(counts[index] for index in range(10))
    order = weighted_order(history.weights(20), rng=numpy_generator(1, step=1, purpose="a"))
    assert sorted(order) == list(range(20))
