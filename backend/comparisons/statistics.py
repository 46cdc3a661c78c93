"""Confidence intervals and tests over questions. Pure; independent of runs, jobs and tables.

Sources: bootstrap of the mean, BCa (Efron 1987); for equal values, the share of questions that may still differ
(Clopper and Pearson 1934); t interval (Student 1908); sign-flip permutation test (Fisher 1935); Holm (1979); unbiased
pass@k (Chen et al. 2021, equation 1). Importing scipy.stats takes longer than the rest of the API, so it is imported
locally. `worker/engine/evaluation/statistics.py` computes the same intervals; a test compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
EQUAL_WITHIN = 1e-9
"""Values within this distance are equal, apart from the order of summation."""

Bounds = tuple[float, float]
SCORES: Bounds = (0.0, 1.0)
DIFFERENCES: Bounds = (-1.0, 1.0)
"""Usual bounds of scores and of their differences."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval over questions; None if there are too few questions."""

    mean: float
    low: float | None
    high: float | None


def mean_interval(values: NDArray[np.float64], *, within: Bounds) -> Interval:
    """Bootstrap the mean of `values` [Q], one per question; independent of order. `within`: their bounds."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, None, None)
    if np.ptp(values) <= EQUAL_WITHIN:
        return Interval(mean, *_interval_of_equal(mean, count=len(values), within=within))
    from scipy import stats

    found = stats.bootstrap(
        (np.sort(values),),
        np.mean,
        n_resamples=RESAMPLES,
        batch=1000,
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def t_interval(values: NDArray[np.float64], *, within: Bounds) -> Interval:
    """Compute the t interval, ten thousand times cheaper than the bootstrap: for the many points of a curve."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, None, None)
    if np.ptp(values) <= EQUAL_WITHIN:
        return Interval(mean, *_interval_of_equal(mean, count=len(values), within=within))
    from scipy import stats

    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def _interval_of_equal(value: float, *, count: int, within: Bounds) -> tuple[float, float]:
    """Return the interval for equal values: at most a share `others` of all questions can have other values, and these
    are within the bounds. For values outside the bounds it is empty.
    """
    least, most = within
    if not least <= value <= most:
        return value, value
    from scipy import stats

    others = float(stats.binomtest(0, count).proportion_ci(CONFIDENCE).high)
    return value + others * (least - value), value + others * (most - value)


def sign_flip_p(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of the mean paired difference, by random sign flips."""
    from scipy import stats

    if not np.any(differences):
        return 1.0
    return float(
        stats.permutation_test(
            (differences,),
            lambda flipped, axis: np.mean(flipped, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=RESAMPLES,
            rng=np.random.default_rng(SEED),
        ).pvalue
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the family-wise error rate stays below the level of the test."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def pass_at(k: int, *, right: int, samples: int) -> float:
    """Estimate the probability that at least one of `k` samples is right, if `right` of `samples` were."""
    if samples < k:
        raise ValueError(f"pass@{k} needs {k} samples, got {samples}")
    return 1.0 - comb(samples - right, k) / comb(samples, k)
