"""Choice of the validation rows of a split: pure, deterministic in seed and rows, stratified on request.

Equal rows are always on the same side, so that a model is not evaluated on rows it was trained on.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from backend.datasets.analysis.findings import SHORT_ANSWER
from backend.datasets.rows.paths import has_path, value_at

LEAST_VALIDATION_ROWS = 2
"""A confidence interval over fewer questions is meaningless; jobs require as many."""
BY_ANSWER = "answer"
"""Stratify by the reference answer, where it is short; all longer answers are one stratum."""


class Hashed(Protocol):
    @property
    def row_hash(self) -> str: ...


Row = TypeVar("Row", bound=Hashed)


def seeded_order(rows: Iterable[Row], *, seed: int) -> list[Row]:
    """Sort the rows pseudo-randomly by their contents and the seed alone; equal rows are adjacent."""
    return sorted(rows, key=lambda row: _sort_key(row.row_hash, seed=seed))


@dataclass(frozen=True, slots=True)
class RowPlacement:
    """A row to be assigned to a side. `stratum`: the value it is balanced by, such as its answer."""

    number: int
    row_hash: str
    stratum: str = ""


@dataclass(slots=True)
class EqualRows:
    """A group of equal rows, which stay on one side."""

    row_hash: str
    stratum: str
    numbers: list[int] = field(default_factory=list)


def stratum_of(normal: Mapping[str, Any], *, by: str) -> str:
    """Return the stratum of a row in the normal form: its answer, or a column's value as JSON; '' if absent."""
    if by == BY_ANSWER:
        answer: str | None = normal["reference"]["answer"]
        return "" if answer is None or len(answer.strip()) > SHORT_ANSWER else answer.strip()
    item = normal["item"]
    return json.dumps(value_at(item, by), sort_keys=True, ensure_ascii=False) if has_path(item, by) else ""


def validation_count(rows: int, *, share: float) -> int:
    """Return that share of the rows, rounded, and at least `LEAST_VALIDATION_ROWS`."""
    return max(LEAST_VALIDATION_ROWS, round(share * rows))


def validation_side(rows: Sequence[RowPlacement], *, count: int, seed: int) -> set[int]:
    """Return the numbers of about `count` rows, of exactly as many where no two rows are equal.

    Each stratum gives its share, to within one row where no two are equal. Raises ValueError if a side is too small.
    """
    strata: dict[str, list[EqualRows]] = {}
    for group in seeded_order(_groups(rows), seed=seed):
        strata.setdefault(group.stratum, []).append(group)
    quotas = _quotas({name: _size(groups) for name, groups in strata.items()}, count=count, seed=seed)
    chosen: list[EqualRows] = []
    left: list[EqualRows] = []
    for name, groups in strata.items():
        for group, fits in _fill(groups, capacity=quotas[name]):
            (chosen if fits else left).append(group)
    chosen += [group for group, fits in _fill(left, capacity=count - _size(chosen)) if fits]
    if not chosen and left:
        chosen = [min(left, key=lambda group: len(group.numbers))]
    if not LEAST_VALIDATION_ROWS <= _size(chosen) < len(rows):
        raise ValueError(
            f"{len(rows)} rows ({sum(map(len, strata.values()))} distinct) are too few for {count} validation rows"
        )
    return {number for group in chosen for number in group.numbers}


def _groups(rows: Sequence[RowPlacement]) -> Iterable[EqualRows]:
    by_hash: dict[str, EqualRows] = {}
    for row in rows:
        by_hash.setdefault(row.row_hash, EqualRows(row.row_hash, row.stratum)).numbers.append(row.number)
    return by_hash.values()


def _quotas(sizes: dict[str, int], *, count: int, seed: int) -> dict[str, int]:
    """Apportion `count` by largest remainders, each quota less than one row from its exact share.

    Ties between equal remainders are broken by the seed.
    """
    total = sum(sizes.values())
    count = min(count, total)
    quotas = {name: count * size // total for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(count * sizes[name] % total), _sort_key(name, seed=seed)))
    for name in by_remainder[: count - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _fill(groups: Iterable[EqualRows], *, capacity: int) -> Iterable[tuple[EqualRows, bool]]:
    """Yield each group and whether it fits into the remaining capacity."""
    for group in groups:
        fits = len(group.numbers) <= capacity
        capacity -= len(group.numbers) if fits else 0
        yield group, fits


def _size(groups: Iterable[EqualRows]) -> int:
    return sum(len(group.numbers) for group in groups)


def _sort_key(name: str, *, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
