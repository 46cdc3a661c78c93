"""The 95 % confidence interval of a mean over questions or rows.

`backend/comparisons/statistics.py` computes the same numbers without importing this package; a test compares the two.

Sources: BCa bootstrap of the mean (Efron 1987); if all values are equal, an upper bound on the share of questions that
may differ by Clopper and Pearson (1934), as in the rule of three (Hanley and Lippman-Hand 1983).
"""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
EQUAL_WITHIN = 1e-9
"""Values that differ by no more than this count as equal: the same sum in another order."""

Bounds = tuple[float, float]
SCORES: Bounds = (0.0, 1.0)
DIFFERENCES: Bounds = (-1.0, 1.0)
"""The usual ranges of scores and of their differences."""


class Interval(TypedDict):
    """A mean with its 95 % interval over questions."""

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
    mean = float(values.mean())
    if np.ptp(values) <= EQUAL_WITHIN:
        low, high = _interval_of_equal(mean, count=len(values), within=within)
        return Interval(mean=mean, low=low, high=high)
    bounds = stats.bootstrap(
        (np.sort(values),),
        np.mean,
        n_resamples=RESAMPLES,
        batch=1000,
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(mean=mean, low=float(bounds.low), high=float(bounds.high))


def _interval_of_equal(value: float, *, count: int, within: Bounds | None) -> tuple[float, float]:
    if within is None or not within[0] <= value <= within[1]:
        return value, value
    share = float(stats.binomtest(0, count).proportion_ci(CONFIDENCE).high)
    least, most = within
    return value + share * (least - value), value + share * (most - value)
