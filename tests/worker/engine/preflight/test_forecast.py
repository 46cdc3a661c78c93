"""Forecasts from a few completions: rates, mixed groups, hints; each formula checked by counting."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.preflight.forecast import (
    hint_effect,
    histogram,
    is_unbiased,
    mean_over_rows,
    mixed_probability,
    solve_rate,
)

SCORES = st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=2, max_size=8)


def is_mixed(scores):
    """Whether two known scores of a group differ."""
    return len({score for score in scores if score is not None}) > 1


@given(SCORES, st.integers(2, 8))
def test_the_expected_share_of_mixed_groups_is_that_of_all_groups_that_can_be_drawn(scores, group):
    if is_unbiased(samples=len(scores), group=group):
        groups = list(itertools.combinations(scores, group))
    elif len(scores) ** group <= 4096:
        groups = list(itertools.product(scores, repeat=group))
    else:
        return
    share = sum(map(is_mixed, groups)) / len(groups)
    assert mixed_probability(scores, group=group) == pytest.approx(share, abs=1e-12)


@given(st.sampled_from([0.1, 0.3, 0.7]), st.integers(2, 4), st.integers(0, 3))
def test_over_all_samples_a_row_may_give_it_is_right_on_average_with_enough_and_low_with_too_few(rate, group, more):
    truth = 1 - rate**group - (1 - rate) ** group

    def expected(samples):
        """Average the estimate over all possible samples."""
        return sum(
            math.comb(samples, right)
            * rate**right
            * (1 - rate) ** (samples - right)
            * mixed_probability([1.0] * right + [0.0] * (samples - right), group=group)
            for right in range(samples + 1)
        )

    assert expected(group + more) == pytest.approx(truth, abs=1e-12)
    assert expected(group - 1) < truth


def test_a_simulation_of_groups_with_missing_scores_agrees():
    rng = np.random.default_rng(0)
    scores = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, None]
    drawn = [is_mixed([scores[place] for place in rng.permutation(8)[:4]]) for _ in range(20_000)]
    assert mixed_probability(scores, group=4) == pytest.approx(np.mean(drawn), abs=0.015)


@pytest.mark.parametrize("scores", [[0.0] * 8, [1.0] * 8, [0.5] * 7 + [None], [None] * 8])
def test_a_row_whose_scores_are_all_equal_never_gives_a_mixed_group(scores):
    assert mixed_probability(scores, group=4) == 0
    assert mixed_probability(scores, group=16) == 0


@given(st.lists(st.none() | st.fractions(0, 1, max_denominator=10).map(float), max_size=50))
def test_every_row_with_a_rate_is_in_one_bin_of_the_histogram(rates):
    bins = histogram(rates)
    assert sum(entry["rows"] for entry in bins) == sum(rate is not None for rate in rates)
    assert bins[0]["rows"] == rates.count(0.0)
    assert bins[-1]["rows"] == rates.count(1.0)
    for entry in bins[1:-1]:
        inside = [r for r in rates if r is not None and entry["low"] <= r < entry["high"] and 0 < r < 1]
        assert entry["rows"] == len(inside)


def test_what_has_no_score_leaves_the_rate():
    assert solve_rate([1.0, 0.4, None, 0.6], success_above=0.5) == pytest.approx(2 / 3)
    assert solve_rate([None, None], success_above=0.5) is None
    assert mean_over_rows([None], within=None) is None


def test_a_hint_that_helps_is_found_and_rows_that_it_leaves_alone_are_named():
    without = [[0.0, 0.0, 1.0, 0.0]] * 9 + [[0.0] * 4, [1.0] * 4]
    shown = [[1.0, 1.0, 1.0, 0.0]] * 9 + [[0.0] * 4, [1.0] * 4]
    effect = hint_effect(range(11), without, shown, success_above=0.5, seed=0)
    assert effect.helps == "yes"
    assert effect.not_helped == (9,), "the last row needs no help"
    assert effect.without == pytest.approx((9 * 0.25 + 1) / 11)
    assert effect.shown == pytest.approx((9 * 0.75 + 1) / 11)
    assert effect.difference["mean"] == pytest.approx(effect.shown - effect.without)
    assert 0 < effect.difference["low"] <= effect.difference["mean"] <= effect.difference["high"]


def test_rows_without_a_score_on_both_sides_are_not_paired():
    effect = hint_effect([4, 5], [[None], [0.0]], [[1.0], [1.0]], success_above=0.5, seed=0)
    assert effect.rows == 1
    assert effect.without == 0
    assert effect.helps == "unclear", "one row has no spread"
    assert hint_effect([4], [[None]], [[1.0]], success_above=0.5, seed=0) is None


@pytest.mark.parametrize(
    ("without", "shown", "helps"),
    [
        ([[0.0, 1.0]] * 6, [[0.0, 1.0]] * 6, "no"),
        ([[0.0, 1.0]] * 6, [[0.0, 0.0]] * 6, "no"),
        ([[0.0]] * 6, [[1.0]] + [[0.0]] * 5, "unclear"),
        ([[1.0]] * 6, [[1.0]] * 6, "not_needed"),
    ],
)
def test_the_verdict_on_a_hint(without, shown, helps):
    assert hint_effect(range(6), without, shown, success_above=0.5, seed=0).helps == helps
