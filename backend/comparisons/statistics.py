"""Intervals and tests over questions. Pure; no run, job or table is known here.

Sources: bootstrap of the mean, BCa (Efron 1987); where no two values differ, the share of questions that may still do
so (Clopper and Pearson 1934); t interval (Student 1908); sign-flip permutation test (Fisher 1935); Holm (1979); pass@k
without bias (Chen et al. 2021, equation 1). scipy.stats takes longer to import than all the rest of the API, so it is
imported where an interval is made. `worker/engine/evaluation/statistics.py` makes the same intervals, so that a run
and a comparison agree: a test holds the two to each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
ALIKE = 1e-9
"""Values no further apart than this are one value, summed in another order."""

Bounds = tuple[float, float]
SCORES: Bounds = (0.0, 1.0)
DIFFERENCES: Bounds = (-1.0, 1.0)
"""Between what scores and their differences usually lie."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval over questions; None where there are too few to say."""

    mean: float
    low: float | None
    high: float | None


def mean_interval(values: NDArray[np.float64], *, within: Bounds) -> Interval:
    """`values` [Q], one a question, whatever their order; `within`: where they can lie."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, None, None)
    if np.ptp(values) <= ALIKE:
        return Interval(mean, *_of_alike(mean, count=len(values), within=within))
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


def quick_interval(values: NDArray[np.float64], *, within: Bounds) -> Interval:
    """The same from the spread of the values alone, ten thousand times cheaper: for the many points of a curve."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, None, None)
    if np.ptp(values) <= ALIKE:
        return Interval(mean, *_of_alike(mean, count=len(values), within=within))
    from scipy import stats

    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def _of_alike(value: float, *, count: int, within: Bounds) -> tuple[float, float]:
    """How far the mean may be off where no two values differ: at most a share `others` of all questions can be of
    another kind, and theirs lie within the bounds. Beyond those nothing can be said.
    """
    least, most = within
    if not least <= value <= most:
        return value, value
    from scipy import stats

    others = float(stats.binomtest(0, count).proportion_ci(CONFIDENCE).high)
    return value + others * (least - value), value + others * (most - value)


def sign_flip_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of a mean difference of pairs whose signs could have been either."""
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
    """Adjusted so that the chance of a single false alarm among all stays below any level one tests at."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def pass_at(k: int, *, right: int, samples: int) -> float:
    """The chance that one of `k` samples is right, where `right` of `samples` were."""
    if samples < k:
        raise ValueError(f"pass@{k} needs {k} samples, there are {samples}")
    return 1.0 - comb(samples - right, k) / comb(samples, k)
