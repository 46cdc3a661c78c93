"""Measured figures: the median of n runs with the lowest and highest, which show the noise."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure."""

    name: str
    value: float
    """Median."""
    unit: str
    n: int
    low: float
    """Lowest run."""
    high: float
    """Highest run."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def figure(name: str, runs: Sequence[float], *, unit: str) -> Figure:
    return Figure(name, statistics.median(runs), unit, len(runs), min(runs), max(runs))


def read_results() -> list[Figure]:
    return [Figure(**values) for values in json.loads(RESULTS.read_text())] if RESULTS.exists() else []


def table(figures: Sequence[Figure]) -> str:
    width = max(len(figure.name) for figure in figures)
    header = f"{'name':<{width}}  {'median':>12}  {'low':>12}  {'high':>12}  {'n':>3}  unit"
    lines = [
        f"{f.name:<{width}}  {f.value:>12,.4g}  {f.low:>12,.4g}  {f.high:>12,.4g}  {f.n:>3}  {f.unit}" for f in figures
    ]
    return "\n".join([header, *lines])
