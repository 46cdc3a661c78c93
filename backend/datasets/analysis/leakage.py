"""Which rows of a file go to its validation side: pure, the same for the same seed and rows, in proportion if asked.

Equal rows never stand on both sides: a model is not measured on what it was trained on.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from backend.datasets.analysis.findings import SHORT_ANSWER
from backend.datasets.rows.recognise import holds, value_at

LEAST_VALIDATION_ROWS = 2
"""An interval over fewer questions says nothing; jobs want as many."""
BY_ANSWER = "answer"
"""Strata by the reference answer, where that is short; all longer ones are one stratum."""


class Hashed(Protocol):
    @property
    def row_hash(self) -> str: ...


Row = TypeVar("Row", bound=Hashed)


def seeded_order(rows: Iterable[Row], *, seed: int) -> list[Row]:
    """The rows in an order that depends on their contents and the seed alone; equal rows stand together."""
    return sorted(rows, key=lambda row: _lot(row.row_hash, seed=seed))


@dataclass(frozen=True, slots=True)
class RowPlacement:
    """A row to be put on a side. `stratum`: what it is counted with, such as its answer."""

    number: int
    row_hash: str
    stratum: str = ""


@dataclass(slots=True)
class EqualRows:
    """Equal rows, which stay together."""

    row_hash: str
    stratum: str
    numbers: list[int] = field(default_factory=list)


def stratum_of(normal: Mapping[str, Any], *, by: str) -> str:
    """What a row in the normal form is counted with: its answer, or what a column holds, as JSON; '' for nothing."""
    if by == BY_ANSWER:
        answer: str | None = normal["reference"]["answer"]
        return "" if answer is None or len(answer.strip()) > SHORT_ANSWER else answer.strip()
    item = normal["item"]
    return json.dumps(value_at(item, by), sort_keys=True, ensure_ascii=False) if holds(item, by) else ""


def validation_count(rows: int, *, share: float) -> int:
    """That share of the rows, rounded, and no fewer than can be measured on."""
    return max(LEAST_VALIDATION_ROWS, round(share * rows))


def validation_side(rows: Sequence[RowPlacement], *, count: int, seed: int) -> set[int]:
    """The numbers of about `count` rows, exactly as many where no two rows are equal.

    Each stratum gives its share, up to one row where no two are equal. ValueError where a side would be too small.
    """
    strata: dict[str, list[EqualRows]] = {}
    for alike in seeded_order(_alike(rows), seed=seed):
        strata.setdefault(alike.stratum, []).append(alike)
    quotas = _quotas({name: _size(found) for name, found in strata.items()}, count=count, seed=seed)
    chosen: list[EqualRows] = []
    left: list[EqualRows] = []
    for name, found in strata.items():
        for alike, fits in _filled(found, room=quotas[name]):
            (chosen if fits else left).append(alike)
    chosen += [alike for alike, fits in _filled(left, room=count - _size(chosen)) if fits]
    if not chosen and left:
        chosen = [min(left, key=lambda alike: len(alike.numbers))]
    if not LEAST_VALIDATION_ROWS <= _size(chosen) < len(rows):
        raise ValueError(
            f"{len(rows)} rows, {sum(map(len, strata.values()))} of them different, are too few to put {count} aside"
        )
    return {number for alike in chosen for number in alike.numbers}


def _alike(rows: Sequence[RowPlacement]) -> Iterable[EqualRows]:
    found: dict[str, EqualRows] = {}
    for row in rows:
        found.setdefault(row.row_hash, EqualRows(row.row_hash, row.stratum)).numbers.append(row.number)
    return found.values()


def _quotas(sizes: dict[str, int], *, count: int, seed: int) -> dict[str, int]:
    """Largest remainders: the quotas add up to `count`, each less than one row from its exact share.

    Of equal remainders the lot decides.
    """
    total = sum(sizes.values())
    count = min(count, total)
    quotas = {name: count * size // total for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(count * sizes[name] % total), _lot(name, seed=seed)))
    for name in by_remainder[: count - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _filled(found: Iterable[EqualRows], *, room: int) -> Iterable[tuple[EqualRows, bool]]:
    """Each, and whether it still fits into the room that those before it left."""
    for alike in found:
        fits = len(alike.numbers) <= room
        room -= len(alike.numbers) if fits else 0
        yield alike, fits


def _size(found: Iterable[EqualRows]) -> int:
    return sum(len(alike.numbers) for alike in found)


def _lot(name: str, *, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
