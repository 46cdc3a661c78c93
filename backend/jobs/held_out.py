"""Which rows are trained on and which are held out: pure, and the same for the same seed and rows."""

from collections.abc import Sequence

from backend.datasets.analysis.leakage import Row, seeded_order


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
