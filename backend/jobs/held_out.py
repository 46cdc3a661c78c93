"""Which rows are trained on and which are held out: pure, and the same for the same seed and rows."""

import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Hashed(Protocol):
    @property
    def row_hash(self) -> str: ...


Row = TypeVar("Row", bound=Hashed)


def seeded_order(rows: Sequence[Row], *, seed: int) -> list[Row]:
    """The rows in an order that depends on their contents and the seed alone; equal rows stand together."""
    return sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row.row_hash}".encode()).digest())


def split_held_out(rows: Sequence[Row], *, share: float, seed: int, limit: int) -> tuple[list[Row], list[Row]]:
    """(training rows in their order, held-out rows): about `share` of the rows, at most `limit`, are held out.

    Equal rows never stand on both sides. ValueError when either side would be empty.
    """
    shuffled = seeded_order(rows, seed=seed)
    count = min(limit, max(2, round(share * len(shuffled))))
    held_out = shuffled[:count]
    hashes = {row.row_hash for row in held_out}
    training = [row for row in rows if row.row_hash not in hashes]
    if not training:
        raise ValueError(
            f"{len(rows)} rows are too few to hold {count} out for evaluation: add rows or give a validation file"
        )
    return training, held_out


def choose(rows: Sequence[Row], *, seed: int, limit: int) -> list[Row]:
    """At most `limit` rows of a validation file."""
    return seeded_order(rows, seed=seed)[:limit]
