"""Confidence intervals and tests over questions. Pure; independent of runs, jobs and tables.

Sources: bootstrap of the mean, BCa (Efron 1987); for equal values, the share of questions that may still differ
(Clopper and Pearson 1934), as in the rule of three (Hanley and Lippman-Hand 1983); t interval (Student 1908); sign-flip
permutation test (Fisher 1935); Holm (1979); unbiased pass@k (Chen et al. 2021, equation 1). Importing scipy.stats takes
longer than the rest of the API, so it is imported locally.
"""

from collections.abc import Sequence
from math import comb
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 9999
TOGETHER = 1000
"""Resamples held in memory at a time."""
SEED = 0
EQUAL_WITHIN = 1e-9
"""Values within this distance are equal, apart from the order of summation."""

Bounds = tuple[float, float]
SCORES: Bounds = (0.0, 1.0)
DIFFERENCES: Bounds = (-1.0, 1.0)
"""Usual bounds of scores and of their differences."""


class Interval(TypedDict):
    """A mean with its 95 % confidence interval over questions."""

    mean: float
    low: float
    high: float


def mean_interval(values: NDArray[np.float64], *, within: Bounds | None) -> Interval:
    """Compute the mean of the questions' values `[Q]` and its interval, independent of their order.

    If all values are equal there is nothing to resample. At most a share `u` of the questions can then differ
    (Clopper-Pearson), with a value `within` the bounds, which limits how far off the mean can be. For differences that
    are all 1, this interval excludes 0 if the sign-flip test does. Without bounds, or for values beyond them, the
    interval is the value itself.
    """
    if np.ptp(values) <= EQUAL_WITHIN:
        return _interval_of_equal(float(values.mean()), count=len(values), within=within)
    from scipy import stats

    found = stats.bootstrap(
        (np.sort(values),),
        np.mean,
        n_resamples=RESAMPLES,
        batch=TOGETHER,
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(mean=float(values.mean()), low=float(found.low), high=float(found.high))


def t_interval(values: NDArray[np.float64], *, within: Bounds | None) -> Interval:
    """Compute the t interval, ten thousand times cheaper than the bootstrap: for the many points of a curve."""
    mean = float(values.mean())
    if np.ptp(values) <= EQUAL_WITHIN:
        return _interval_of_equal(mean, count=len(values), within=within)
    from scipy import stats

    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def _interval_of_equal(value: float, *, count: int, within: Bounds | None) -> Interval:
    if within is None or not within[0] <= value <= within[1]:
        return Interval(mean=value, low=value, high=value)
    from scipy import stats

    share = float(stats.binomtest(0, count).proportion_ci(CONFIDENCE).high)
    least, most = within
    return Interval(mean=value, low=value + share * (least - value), high=value + share * (most - value))


def sign_flip_p(differences: NDArray[np.float64], *, rng: np.random.Generator) -> float:
    """Return the two-sided p-value of the mean paired difference, by random sign flips; 1 for a single pair."""
    if len(differences) < 2 or not np.any(differences):
        return 1.0
    from scipy import stats

    return float(
        stats.permutation_test(
            (differences,),
            _mean_along,
            permutation_type="samples",
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=TOGETHER,
            rng=rng,
        ).pvalue
    )


def _mean_along(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(values.mean(axis=axis), dtype=np.float64)


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
