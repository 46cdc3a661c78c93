"""Search in stored texts, with a limit on the time of the query."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, SQLColumnExpression, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.errors import AppError

SEARCH_S = 10.0
MAX_SEARCH_CHARACTERS = 200
QUERY_CANCELED = "57014"
"""PostgreSQL's SQLSTATE of a statement stopped by `statement_timeout`."""


def contains(column: SQLColumnExpression[str], search: str) -> ColumnElement[bool]:
    """Build the condition that a text contains `search`, case-insensitively and without wildcards."""
    if "\0" in search:
        raise AppError("The search text contains a NUL character.", code="invalid_value", param="search")
    return column.icontains(search, autoescape=True)


@contextmanager
def search_limit(session: Session, *, advice: str) -> Iterator[None]:
    """Stop statements of the transaction after `SEARCH_S`; the AppError then contains `advice`."""
    session.execute(text(f"SET LOCAL statement_timeout = {max(1, round(SEARCH_S * 1000))}"))
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != QUERY_CANCELED:
            raise
        raise AppError(f"The search took more than {SEARCH_S:g} seconds: {advice}.", code="search_too_wide") from None
