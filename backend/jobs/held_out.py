"""Choice of the rows that measure, by seed: held-out rows, or rows of a validation file that are not trained on."""

from collections.abc import Sequence

from backend.core.settings.choices import Keep
from backend.core.settings.measuring import LEAST_TO_HALVE
from backend.core.settings.spec import RlsdSettings
from backend.datasets.analysis.leakage import Row, seeded_order
from backend.errors import AppError
from backend.jobs.notices import Notice
from backend.jobs.resolve import X_RLSD

MIN_HELD_OUT = 2
"""Fewest rows of a validation file that measure."""


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


def choose_rows(rows: Sequence[Row], *, training: Sequence[Row], seed: int, limit: int) -> list[Row]:
    """Return at most `limit` rows of a validation file, none of them equal to a training row."""
    hashes = {row.row_hash for row in training}
    return seeded_order((row for row in rows if row.row_hash not in hashes), seed=seed)[:limit]


def count_shared(rows: Sequence[Row], *, training: Sequence[Row]) -> int:
    """Count the rows of a validation file that are also training rows."""
    hashes = {row.row_hash for row in training}
    return sum(row.row_hash in hashes for row in rows)


def require_halves(settings: RlsdSettings, *, questions: int) -> None:
    """Raise AppError if the held-out questions are to be halved (`keep`), and are too few for it."""
    if settings.keep is Keep.BEST and questions < LEAST_TO_HALVE:
        raise AppError(
            f"keep 'best' chooses on one half of the held-out questions and measures on the other: at least "
            f"{LEAST_TO_HALVE} are needed, and there are {questions}. Hold out more, or set keep to 'last'.",
            param=f"{X_RLSD}.keep",
        )


def shared_notices(shared: int, *, rows: int, filename: str) -> tuple[Notice, ...]:
    """Warn that `shared` of the `rows` of a validation file are left out. Raises AppError if too few would measure."""
    left = rows - shared
    if shared and not left:
        raise AppError(
            f"Every row of the validation file '{filename}' is also in the training file, so none is left to measure "
            "what was learned: choose a file with other rows, or none to hold out part of the training file.",
            code="rows_shared",
            param="validation_file",
        )
    if left < MIN_HELD_OUT:
        which = " that is not also in the training file" if shared else ""
        raise AppError(
            f"The validation file '{filename}' has {left} row{which}: at least {MIN_HELD_OUT} are needed.",
            code="too_few_rows",
            param="validation_file",
        )
    if not shared:
        return ()
    message = (
        f"{shared:,} of the {rows:,} rows of the validation file '{filename}' are also in the training file: they are "
        f"left out of the measuring, and {left:,} are left."
    )
    return (Notice("rows_shared", "warn", message),)
