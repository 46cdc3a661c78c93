"""Intervals and tests against exact enumeration and simulation."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.comparisons.statistics import SCORES, Interval, holm, mean_interval, pass_at, sign_flip_p, t_interval


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


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    assert all(a <= 1 for a in adjusted)
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [a for _, a in pairs] == sorted(a for _, a in pairs)


def test_sign_flips_of_a_few_pairs_are_counted() -> None:
    assert sign_flip_p(np.array([1.0, 1.0, 1.0, 1.0, 1.0])) == pytest.approx(2 / 2**5)
    assert sign_flip_p(np.zeros(5)) == 1.0


def test_the_false_positive_rate_is_at_most_the_level() -> None:
    rng = np.random.default_rng(1)
    alarms = sum(sign_flip_p(rng.normal(size=12)) < 0.05 for _ in range(200))
    assert alarms <= 20


def test_the_interval_contains_the_mean_and_covers_the_true_value() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        found = mean_interval(rng.normal(loc=3.0, size=40), within=SCORES)
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.mean <= found.high
        covered += found.low <= 3.0 <= found.high
    assert covered >= 87


def test_the_t_interval_is_close_to_the_bootstrap() -> None:
    values = np.random.default_rng(3).random(200)
    fast, slow = t_interval(values, within=SCORES), mean_interval(values, within=SCORES)
    assert fast.mean == slow.mean
    assert (fast.low, fast.high) == (pytest.approx(slow.low, abs=0.005), pytest.approx(slow.high, abs=0.005))


@pytest.mark.parametrize("interval", [mean_interval, t_interval])
def test_equal_values_have_an_interval_and_a_single_value_has_none(interval: Callable[..., Interval]) -> None:
    found = interval(np.zeros(16), within=SCORES)
    assert (found.low, found.high) == (0.0, pytest.approx(0.2059, abs=1e-4))
    assert interval(np.array([0.5]), within=SCORES).low is None
