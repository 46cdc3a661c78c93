"""The distribution of text lengths, in characters or tokens: quantiles and a histogram.

Stored as a count for each length. `n` distinct lengths sum to at least `n² / 2`, so a file of 2 GB has about sixty
thousand of them at most, however many rows.
"""

import bisect
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

BARS = 24
TAIL = 0.99
"""The quantile up to which the bars extend; the last bar also holds all longer texts."""


@dataclass(slots=True)
class Lengths:
    counts: Counter[int] = field(default_factory=Counter)

    def add(self, length: int) -> None:
        self.counts[length] += 1

    def above(self, limit: int) -> int:
        """Count the texts that are longer than the limit."""
        return sum(rows for length, rows in self.counts.items() if length > limit)

    def to_json(self) -> dict[str, Any] | None:
        """Return `{min, median, mean, p95, max, histogram: [{low, high, rows}]}`, ends inclusive; None if empty."""
        if not self.counts:
            return None
        lengths = sorted(self.counts)
        ends = list(itertools.accumulate(self.counts[length] for length in lengths))
        total = ends[-1]
        return {
            "min": lengths[0],
            "median": _quantile(lengths, ends, 0.5),
            "mean": round(sum(length * rows for length, rows in self.counts.items()) / total, 1),
            "p95": _quantile(lengths, ends, 0.95),
            "max": lengths[-1],
            "histogram": self._histogram(low=lengths[0], high=int(_quantile(lengths, ends, TAIL)), most=lengths[-1]),
        }

    def _histogram(self, *, low: int, high: int, most: int) -> list[dict[str, int]]:
        width = max(1, -(-(high - low + 1) // BARS))
        bars = [0] * max(1, -(-(high - low + 1) // width))
        for length, rows in self.counts.items():
            bars[min((length - low) // width, len(bars) - 1)] += rows
        histogram = [
            {"low": low + index * width, "high": low + (index + 1) * width - 1, "rows": rows}
            for index, rows in enumerate(bars)
        ]
        histogram[-1]["high"] = max(histogram[-1]["low"], most)
        return histogram


def _quantile(lengths: list[int], ends: list[int], share: float) -> float:
    """Interpolate linearly between the two nearest ranks, as numpy does. `ends`: the cumulative counts of `lengths`."""
    rank = share * (ends[-1] - 1)
    below = lengths[bisect.bisect_right(ends, int(rank))]
    above = lengths[bisect.bisect_right(ends, min(int(rank) + 1, ends[-1] - 1))]
    return round(below + (above - below) * (rank - int(rank)), 2)
