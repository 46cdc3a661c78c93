"""Lists that are read in pages: a query, and the columns that order it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """A query of rows in the order of `keys`, which are unique together; the last one may be an id."""

    statement: Select[Row]
    keys: tuple[InstrumentedAttribute[Any], ...]


def position_of(session: Session, listing: Listing[Row], row_id: str) -> Sequence[Any] | None:
    """Return the values of the keys of the row with this id, the last key; None if it is not in the list."""
    if "\0" in row_id:
        return None
    return session.execute(listing.statement.with_only_columns(*listing.keys).where(listing.keys[-1] == row_id)).first()


def rows_after(
    session: Session, listing: Listing[Row], *, position: Sequence[Any] | None, limit: int, descending: bool
) -> tuple[list[Row], bool]:
    """Return the next rows after a position (values of the keys), and whether there are more."""
    statement = listing.statement
    if position is not None:
        row, reached = tuple_(*listing.keys), tuple_(*position)
        statement = statement.where(row < reached if descending else row > reached)
    ordered = statement.order_by(*(key.desc() if descending else key.asc() for key in listing.keys))
    rows = session.scalars(ordered.limit(limit + 1)).all()
    return list(rows[:limit]), len(rows) > limit
