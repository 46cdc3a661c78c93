"""Lists in OpenAI's format: `{object: "list", data, first_id, last_id, has_more}`, paged with `after` and `limit`.

Keyset pagination: rows inserted or deleted between pages cause neither repeated nor skipped items.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel
from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from backend.errors import AppError

MAX_NUMBER_DIGITS = 12


class ListItem(BaseModel):
    """An item of a list, whose id can be used as cursor."""

    id: str


Item = TypeVar("Item", bound=ListItem)
Row = TypeVar("Row")


class Order(StrEnum):
    ASC = "asc"
    """Oldest first."""
    DESC = "desc"
    """Newest first."""


class Page(BaseModel, Generic[Item]):
    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


After = Annotated[str | None, Query(max_length=200, description="Id of the last item of the previous page.")]
Limit = Annotated[int, Query(ge=1, le=100)]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The paging parameters of most lists."""

    after: After = None
    limit: Limit = 20
    order: Order = Order.DESC


PageParams = Annotated[PageQuery, Depends()]


def page(data: list[Item], *, has_more: bool = False) -> Page[Item]:
    return Page(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=has_more,
    )


def paginate(
    session: Session,
    statement: Select[Row],
    *,
    keys: Sequence[InstrumentedAttribute[Any]],
    query: PageQuery,
    to_item: Callable[[Row], Item],
) -> Page[Item]:
    """Return the requested page of objects whose id is the last of `keys`. Raises AppError 400."""
    cursor = cursor_values(session, statement, id_column=keys[-1], keys=keys, after=query.after)
    return keyset_page(
        session, statement, keys=keys, after=cursor, limit=query.limit, order=query.order, to_item=to_item
    )


def keyset_page(
    session: Session,
    statement: Select[Row],
    *,
    keys: Sequence[InstrumentedAttribute[Any]],
    after: Sequence[Any] | None,
    limit: int,
    order: Order,
    to_item: Callable[[Row], Item],
) -> Page[Item]:
    """Return one page of the statement's objects, ordered by `keys`, which are unique together.

    `after` are the values of `keys` of the last item of the previous page.
    """
    descending = order is Order.DESC
    if after is not None:
        row, cursor = tuple_(*keys), tuple_(*after)
        statement = statement.where(row < cursor if descending else row > cursor)
    statement = statement.order_by(*(key.desc() if descending else key.asc() for key in keys)).limit(limit + 1)
    rows = session.scalars(statement).all()
    return page([to_item(row) for row in rows[:limit]], has_more=len(rows) > limit)


def cursor_values(
    session: Session,
    statement: Select[Row],
    *,
    id_column: InstrumentedAttribute[str],
    keys: Sequence[InstrumentedAttribute[Any]],
    after: str | None,
) -> Sequence[Any] | None:
    """Return the values of `keys` of the object with the id `after`. Raises AppError if it is not in the list."""
    if after is None:
        return None
    values = None
    if "\0" not in after:
        values = session.execute(statement.with_only_columns(*keys).where(id_column == after)).first()
    if values is None:
        raise invalid_cursor(after)
    return list(values)


def numbers_in_id(after: str | None, *, pattern: str) -> list[int] | None:
    """Parse the numbers in an id such as `12-3`; `pattern` has a group for each. Raises AppError 400."""
    if after is None:
        return None
    match = re.fullmatch(pattern, after, re.ASCII)
    if match is None or any(len(digits) > MAX_NUMBER_DIGITS for digits in match.groups()):
        raise invalid_cursor(after)
    return [int(digits) for digits in match.groups()]


def invalid_cursor(after: str) -> AppError:
    return AppError(f"'{after:.100}' is not an id in this list.", code="invalid_cursor", param="after")
