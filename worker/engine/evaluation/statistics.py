"""Owns the 95 % interval of a mean over questions or rows.

`backend/comparisons/statistics.py` makes the same numbers of the same values, without knowing this room: a test holds
the two to each other.

Sources: bootstrap of the mean, BCa (Efron 1987); where no two values differ, the share of questions that may still do
so by Clopper and Pearson (1934), as in the rule of three (Hanley and Lippman-Hand 1983).
"""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
ALIKE = 1e-9
"""Values no further apart than this are one value, summed in another order."""

Bounds = tuple[float, float]
SCORES: Bounds = (0.0, 1.0)
DIFFERENCES: Bounds = (-1.0, 1.0)
"""Between what scores and their differences usually lie."""


class Interval(TypedDict):
    """A mean with its 95 % interval over questions."""

    mean: float
    low: float
    high: float


def interval(values: NDArray[np.float64], *, within: Bounds | None) -> Interval:
    """The mean of the values of questions `[Q]`, whatever their order, and its interval.

    Values that are all alike have no spread to draw from. Yet of so many questions at most a share `u` can be of
    another kind (Clopper-Pearson), and the score of those lies `within` its bounds: so far may the mean be off. For
    differences that are all 1 this leaves 0 out where the sign-flip test does. Without bounds, or beyond them, nothing
    can be said, and the interval is the value.
    """
    mean = float(values.mean())
    if np.ptp(values) <= ALIKE:
        low, high = _of_alike(mean, count=len(values), within=within)
        return Interval(mean=mean, low=low, high=high)
    found = stats.bootstrap(
        (np.sort(values),),
        np.mean,
        n_resamples=RESAMPLES,
        batch=1000,
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(mean=mean, low=float(found.low), high=float(found.high))


def _of_alike(value: float, *, count: int, within: Bounds | None) -> tuple[float, float]:
    if within is None or not within[0] <= value <= within[1]:
        return value, value
    others = float(stats.binomtest(0, count).proportion_ci(CONFIDENCE).high)
    least, most = within
    return value + others * (least - value), value + others * (most - value)
