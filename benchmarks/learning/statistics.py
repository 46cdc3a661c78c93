"""Statistics over seeds: confidence intervals, paired differences and their exact sign-flip test. Pure functions."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
EXACT_UP_TO = 14
"""Up to this many pairs all sign flips are enumerated; for more, `RESAMPLES` are drawn."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval; for a single value low and high are NaN."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Estimate:
    """Compute the mean and Student's confidence interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, math.nan, math.nan)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - half, mean + half)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Compute the two-sided p-value of the mean difference under random signs of the pairs; at least `2 / 2^n`."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) <= EXACT_UP_TO:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    else:
        drawn = np.random.default_rng(0).choice((1.0, -1.0), size=(RESAMPLES - 1, len(values)))
        signs = np.vstack([np.ones(len(values)), drawn])
    flipped = np.abs((signs * values).mean(1))
    return float((flipped >= abs(values.mean()) - 1e-12).mean())


def median_or_never(steps: Sequence[float | None]) -> float | None:
    """Compute the median, with None (never) as later than all others; None if the median itself is never."""
    ordered = sorted(math.inf if step is None else step for step in steps)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return None if math.isinf(median) else median
