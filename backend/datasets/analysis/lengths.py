"""How long texts are, in characters or tokens: their spread, and a histogram of it.

Kept as how often each length occurs. Different lengths add up to at least half their number squared, so a file of 2 GB
has some sixty thousand of them at most, however many rows.
"""

import bisect
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

BARS = 24
TAIL = 0.99
"""Up to this share of the texts have bars of their own; the last bar holds all that are longer."""


@dataclass(slots=True)
class Lengths:
    counts: Counter[int] = field(default_factory=Counter)

    def add(self, length: int) -> None:
        self.counts[length] += 1

    def above(self, limit: int) -> int:
        """How many texts are longer than the limit."""
        return sum(rows for length, rows in self.counts.items() if length > limit)

    def to_json(self) -> dict[str, Any] | None:
        """`{min, median, mean, p95, max, histogram: [{low, high, rows}]}`, both ends included; None without a text."""
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
        shown = [
            {"low": low + place * width, "high": low + (place + 1) * width - 1, "rows": rows}
            for place, rows in enumerate(bars)
        ]
        shown[-1]["high"] = max(shown[-1]["low"], most)
        return shown


def _quantile(lengths: list[int], ends: list[int], share: float) -> float:
    """Between the two nearest ranks, as numpy does it. `ends`: how many texts are at most as long as each length."""
    rank = share * (ends[-1] - 1)
    below = lengths[bisect.bisect_right(ends, int(rank))]
    above = lengths[bisect.bisect_right(ends, min(int(rank) + 1, ends[-1] - 1))]
    return round(below + (above - below) * (rank - int(rank)), 2)
