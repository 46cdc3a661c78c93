"""Intervals, paired tests and medians of the learning benchmark, against numbers worked out by hand."""

import math

import pytest

from benchmarks.learning.statistics import mean_interval, median_or_never, sign_flip_p


def test_the_interval_of_a_mean_is_students():
    estimate = mean_interval([0.4, 0.5, 0.6])
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert estimate.mean == pytest.approx(0.5)
    assert (estimate.low, estimate.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))


def test_a_single_value_has_no_interval():
    estimate = mean_interval([0.3])
    assert estimate.mean == 0.3
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_equal_signs_give_the_smallest_p_that_so_many_pairs_allow():
    assert sign_flip_p([0.1, 0.2, 0.1, 0.3, 0.2, 0.1]) == 2 / 2**6
    assert sign_flip_p([-0.1, -0.2, -0.1]) == 2 / 2**3


def test_p_counts_the_sign_flips_that_are_as_extreme():
    # Of the eight sums +-3 +-2 +-1 four reach |3 + 2 - 1| = 4: 6, 4, -4 and -6.
    assert sign_flip_p([3.0, 2.0, -1.0]) == 4 / 8


def test_no_difference_at_all_is_no_evidence():
    assert sign_flip_p([0.0, 0.0, 0.0]) == 1.0


def test_many_pairs_are_sampled_and_still_tell_a_difference():
    assert sign_flip_p([0.1 + 0.001 * i for i in range(20)]) < 0.001
    assert sign_flip_p([0.1 * (-1) ** i for i in range(20)]) > 0.5


def test_never_counts_as_later_than_any_step():
    assert median_or_never([10, None, 30]) == 30
    assert median_or_never([10, None, None]) is None
    assert median_or_never([10, 20, None, None]) is None
    assert median_or_never([10, 20, 30, None]) == 25
