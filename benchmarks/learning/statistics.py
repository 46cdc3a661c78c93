"""Statistics over seeds that `backend/core/statistics.py` does not have."""

import math
from collections.abc import Sequence


def median_or_never(steps: Sequence[float | None]) -> float | None:
    """Compute the median, with None (never) as later than all others; None if the median itself is never."""
    ordered = sorted(math.inf if step is None else step for step in steps)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return None if math.isinf(median) else median
