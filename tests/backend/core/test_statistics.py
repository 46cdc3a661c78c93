"""Intervals and tests against exact enumeration and simulation: no more certainty than a few questions justify."""

import math
from collections.abc import Callable
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from backend.core.statistics import (
    DIFFERENCES,
    EQUAL_WITHIN,
    SCORES,
    Bounds,
    Interval,
    holm,
    mean_interval,
    pass_at,
    sign_flip_p,
    t_interval,
)

COUNTS = st.integers(1, 500)
SHARES = st.floats(0, 1)


def p_value(differences: np.ndarray) -> float:
    return sign_flip_p(differences, rng=np.random.default_rng(0))


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(samples: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    draws = list(combinations([True] * right + [False] * (samples - right), k))
    assert pass_at(k, right=right, samples=samples) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_more_than_the_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="pass@3 needs 3 samples"):
        pass_at(3, right=1, samples=2)


def test_holm_matches_a_known_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(SHARES, min_size=1, max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    assert all(a <= 1 for a in adjusted)
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [a for _, a in pairs] == sorted(a for _, a in pairs)


def test_sign_flips_of_a_few_pairs_are_counted() -> None:
    assert p_value(np.ones(5)) == pytest.approx(2 / 2**5)
    assert p_value(np.zeros(5)) == 1.0
    assert p_value(np.array([0.7])) == 1.0
    # Of the eight sums +-3 +-2 +-1 four reach |3 + 2 - 1| = 4: 6, 4, -4 and -6.
    assert p_value(np.array([3.0, 2.0, -1.0])) == pytest.approx(4 / 8)


def test_the_false_positive_rate_is_at_most_the_level() -> None:
    rng = np.random.default_rng(1)
    alarms = sum(p_value(rng.normal(size=12)) < 0.05 for _ in range(200))
    assert alarms <= 20


def test_the_interval_covers_the_true_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        found = mean_interval(rng.normal(0.3, 1.0, size=60), within=SCORES)
        assert found["low"] < found["mean"] < found["high"]
        covered += found["low"] <= 0.3 <= found["high"]
    assert 86 <= covered <= 100


def test_the_t_interval_is_students() -> None:
    half = 4.302653 * 0.1 / math.sqrt(3)
    found = t_interval(np.array([0.4, 0.5, 0.6]), within=None)
    assert (found["low"], found["mean"], found["high"]) == pytest.approx((0.5 - half, 0.5, 0.5 + half))


def test_the_t_interval_is_close_to_the_bootstrap() -> None:
    values = np.random.default_rng(3).random(200)
    assert t_interval(values, within=SCORES) == pytest.approx(mean_interval(values, within=SCORES), abs=0.005)


@pytest.mark.parametrize("interval", [mean_interval, t_interval])
@pytest.mark.parametrize(("questions", "most"), [(6, 0.4593), (16, 0.2059), (200, 0.0183)])
def test_none_right_leaves_room_for_the_share_that_so_many_questions_may_miss(
    interval: Callable[..., Interval], questions: int, most: float
) -> None:
    never, always = (interval(np.full(questions, score), within=SCORES) for score in (0.0, 1.0))
    assert (never["low"], never["high"]) == (0.0, pytest.approx(most, abs=1e-4))
    assert (always["low"], always["high"]) == (pytest.approx(1 - most, abs=1e-4), 1.0)


@given(COUNTS, SHARES)
def test_scores_that_are_all_alike_have_an_interval_that_holds_them_and_lies_within_their_bounds(
    questions: int, score: float
) -> None:
    found = mean_interval(np.full(questions, score), within=SCORES)
    assert 0 <= found["low"] <= found["mean"] <= found["high"] <= 1
    assert found["high"] > found["low"]
    more = mean_interval(np.full(2 * questions, score), within=SCORES)
    assert more["high"] - more["low"] < found["high"] - found["low"]


@given(COUNTS, SHARES, SHARES)
def test_a_mean_outside_would_have_shown_alike_scores_at_most_once_in_forty(
    questions: int, score: float, other: float
) -> None:
    """For a population in which a share of the questions has another score."""
    found = mean_interval(np.full(questions, score), within=SCORES)
    for share in np.linspace(0, 1, 21):
        mean = (1 - share) * score + share * other
        if mean < found["low"] - EQUAL_WITHIN or mean > found["high"] + EQUAL_WITHIN:
            assert (1 - share) ** questions <= 0.025 + EQUAL_WITHIN


@given(st.integers(1, 12))
def test_pairs_that_all_differ_alike_leave_zero_out_where_the_sign_flip_test_does(questions: int) -> None:
    found = mean_interval(np.ones(questions), within=DIFFERENCES)
    assert (found["low"] > 0) == (2 / 2**questions <= 0.05)
    same = mean_interval(np.zeros(questions), within=DIFFERENCES)
    assert same["low"] == -same["high"] < 0


@pytest.mark.parametrize("within", [None, SCORES])
def test_beyond_bounds_the_interval_is_the_value(within: Bounds | None) -> None:
    assert mean_interval(np.full(4, 7.0), within=within) == {"mean": 7.0, "low": 7.0, "high": 7.0}


@given(st.lists(SHARES | st.just(0.5), min_size=2, max_size=30), st.randoms())
def test_scores_in_another_order_have_the_same_interval(scores: list[float], random: Random) -> None:
    found = mean_interval(np.array(scores), within=SCORES)
    random.shuffle(scores)
    assert mean_interval(np.array(scores), within=SCORES) == pytest.approx(found, abs=1e-9)
    assert found["low"] - EQUAL_WITHIN <= found["mean"] <= found["high"] + EQUAL_WITHIN


def test_the_share_that_may_be_missed_is_that_of_scipys_exact_test() -> None:
    exact = stats.binomtest(0, 9).proportion_ci(0.95, method="exact").high
    assert mean_interval(np.zeros(9), within=SCORES)["high"] == pytest.approx(exact)
