"""Split of a data set into training rows and held-out rows. Pure; deterministic for the same seed and rows."""

from collections.abc import Sequence

from backend.datasets.analysis.leakage import Row, seeded_order


def split_held_out(rows: Sequence[Row], *, share: float, seed: int, limit: int) -> tuple[list[Row], list[Row]]:
    """Return (training rows in their order, held-out rows): about `share` of the rows, at most `limit`, are held out.

    Equal rows are never on both sides. Raises ValueError if no training rows would remain.
    """
    shuffled = seeded_order(rows, seed=seed)
    count = min(limit, max(2, round(share * len(shuffled))))
    held_out = shuffled[:count]
    hashes = {row.row_hash for row in held_out}
    training = [row for row in rows if row.row_hash not in hashes]
    if not training:
        raise ValueError(
            f"{len(rows)} rows are too few to hold out {count} for evaluation: add rows or use a validation file"
        )
    return training, held_out


def choose_rows(rows: Sequence[Row], *, seed: int, limit: int) -> list[Row]:
    """Return at most `limit` rows of a validation file."""
    return seeded_order(rows, seed=seed)[:limit]
