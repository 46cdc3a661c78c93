"""Search in stored texts: what may be looked for, and for how long the database may look."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Query
from sqlalchemy import ColumnElement, SQLColumnExpression, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.db.engine import transaction
from backend.errors import AppError

MAX_SEARCH_CHARACTERS = 200
SEARCH_S = 10.0
STOPPED = "57014"
"""PostgreSQL's word for a statement that took too long."""

Search = Annotated[
    str | None,
    Query(min_length=1, max_length=MAX_SEARCH_CHARACTERS, description="A part of the text; case is no matter."),
]


def holds(column: SQLColumnExpression[str], search: str) -> ColumnElement[bool]:
    """Whether a text holds another, letter by letter whatever their case."""
    if "\0" in search:
        raise AppError("The text to search holds a NUL character.", code="invalid_value", param="search")
    return column.icontains(search, autoescape=True)


@contextmanager
def time_bounded(*, project: str, narrower: str) -> Iterator[Session]:
    """A transaction whose statements are stopped after `SEARCH_S`; the refusal says what to do: `narrower`."""
    try:
        with transaction(project=project) as session:
            session.execute(text(f"SET LOCAL statement_timeout = {max(1, round(SEARCH_S * 1000))}"))
            yield session
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != STOPPED:
            raise
        raise AppError(f"The search took more than {SEARCH_S:g} seconds: {narrower}.", code="search_too_wide") from None
