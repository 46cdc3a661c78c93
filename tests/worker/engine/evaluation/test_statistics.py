"""The interval of a mean: its coverage, and no more certainty than a few questions justify."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from backend.comparisons import statistics
from worker.engine.evaluation.statistics import DIFFERENCES, EQUAL_WITHIN, SCORES, mean_interval

COUNTS = st.integers(1, 500)
SHARES = st.floats(0, 1)


def test_the_interval_covers_the_true_mean_about_95_times_in_100():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        found = mean_interval(rng.normal(0.3, 1.0, size=60), within=SCORES)
        assert found["low"] < found["mean"] < found["high"]
        covered += found["low"] <= 0.3 <= found["high"]
    assert 86 <= covered <= 100


@pytest.mark.parametrize(("questions", "most"), [(6, 0.4593), (16, 0.2059), (200, 0.0183)])
def test_none_right_leaves_room_for_the_share_that_so_many_questions_may_miss(questions, most):
    never, always = (mean_interval(np.full(questions, score), within=SCORES) for score in (0.0, 1.0))
    assert (never["low"], never["high"]) == (0.0, pytest.approx(most, abs=1e-4))
    assert (always["low"], always["high"]) == (pytest.approx(1 - most, abs=1e-4), 1.0)


@given(COUNTS, SHARES)
def test_scores_that_are_all_alike_have_an_interval_that_holds_them_and_lies_within_their_bounds(questions, score):
    found = mean_interval(np.full(questions, score), within=SCORES)
    assert 0 <= found["low"] <= found["mean"] <= found["high"] <= 1
    assert found["high"] > found["low"]
    more = mean_interval(np.full(2 * questions, score), within=SCORES)
    assert more["high"] - more["low"] < found["high"] - found["low"]


@given(COUNTS, SHARES, SHARES)
def test_a_mean_outside_would_have_shown_alike_scores_at_most_once_in_forty(questions, score, other):
    """For a population in which a share of the questions has another score."""
    found = mean_interval(np.full(questions, score), within=SCORES)
    for share in np.linspace(0, 1, 21):
        mean = (1 - share) * score + share * other
        if mean < found["low"] - EQUAL_WITHIN or mean > found["high"] + EQUAL_WITHIN:
            assert (1 - share) ** questions <= 0.025 + EQUAL_WITHIN


@given(st.integers(1, 12))
def test_pairs_that_all_differ_alike_leave_zero_out_where_the_sign_flip_test_does(questions):
    found = mean_interval(np.ones(questions), within=DIFFERENCES)
    assert (found["low"] > 0) == (2 / 2**questions <= 0.05)
    same = mean_interval(np.zeros(questions), within=DIFFERENCES)
    assert same["low"] == -same["high"] < 0


@pytest.mark.parametrize("within", [None, SCORES])
def test_beyond_bounds_the_interval_is_the_value(within):
    assert mean_interval(np.full(4, 7.0), within=within) == {"mean": 7.0, "low": 7.0, "high": 7.0}


@given(st.lists(SHARES | st.just(0.5), min_size=2, max_size=30), st.randoms())
def test_a_run_and_a_comparison_agree_on_the_same_scores_in_any_order(scores, random):
    found = mean_interval(np.array(scores), within=SCORES)
    random.shuffle(scores)
    theirs = statistics.mean_interval(np.array(scores), within=statistics.SCORES)
    assert (theirs.low, theirs.high) == pytest.approx((found["low"], found["high"]), abs=1e-9)
    assert found["low"] - EQUAL_WITHIN <= found["mean"] <= found["high"] + EQUAL_WITHIN


def test_the_share_that_may_be_missed_is_that_of_scipys_exact_test():
    exact = stats.binomtest(0, 9).proportion_ci(0.95, method="exact").high
    assert mean_interval(np.zeros(9), within=SCORES)["high"] == pytest.approx(exact)
