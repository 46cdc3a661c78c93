"""Lists as OpenAI has them: `{object: "list", data, first_id, last_id, has_more}`, walked with `after` and `limit`.

Pages are cut by key, not by counting, so rows that come or go while someone walks are neither repeated nor skipped.
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
    """What a list can hold: each item has an id to go on from."""

    id: str


Item = TypeVar("Item", bound=ListItem)
Found = TypeVar("Found")


class Order(StrEnum):
    ASC = "asc"
    """The oldest first."""
    DESC = "desc"
    """The newest first."""


class Page(BaseModel, Generic[Item]):
    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


After = Annotated[str | None, Query(max_length=200, description="The id after which the page begins.")]
Limit = Annotated[int, Query(ge=1, le=100)]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which page of a list, where the list has no limits of its own."""

    after: After = None
    limit: Limit = 20
    order: Order = Order.DESC


PageAsked = Annotated[PageQuery, Depends()]


def page(data: list[Item], *, has_more: bool = False) -> Page[Item]:
    return Page(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=has_more,
    )


def listed(
    session: Session,
    statement: Select[Found],
    *,
    keys: Sequence[InstrumentedAttribute[Any]],
    asked: PageQuery,
    show: Callable[[Found], Item],
) -> Page[Item]:
    """The page asked for, of objects known by id, which is the last of `keys`. Raises AppError 400."""
    place = place_of(session, statement, id_column=keys[-1], keys=keys, after=asked.after)
    return cut(session, statement, keys=keys, after=place, limit=asked.limit, order=asked.order, show=show)


def cut(
    session: Session,
    statement: Select[Found],
    *,
    keys: Sequence[InstrumentedAttribute[Any]],
    after: Sequence[Any] | None,
    limit: int,
    order: Order,
    show: Callable[[Found], Item],
) -> Page[Item]:
    """One page of the statement's objects, ordered by `keys`, which are unique together; `after` are their values."""
    descending = order is Order.DESC
    if after is not None:
        here, place = tuple_(*keys), tuple_(*after)
        statement = statement.where(here < place if descending else here > place)
    statement = statement.order_by(*(key.desc() if descending else key.asc() for key in keys)).limit(limit + 1)
    rows = session.scalars(statement).all()
    return page([show(row) for row in rows[:limit]], has_more=len(rows) > limit)


def place_of(
    session: Session,
    statement: Select[Found],
    *,
    id_column: InstrumentedAttribute[str],
    keys: Sequence[InstrumentedAttribute[Any]],
    after: str | None,
) -> Sequence[Any] | None:
    """The keys' values of the object that `after` names, within the list it is asked of."""
    if after is None:
        return None
    values = None
    if "\0" not in after:
        values = session.execute(statement.with_only_columns(*keys).where(id_column == after)).first()
    if values is None:
        raise unknown_place(after)
    return list(values)


def numbers_of(after: str | None, *, pattern: str) -> list[int] | None:
    """The numbers in an id such as `12-3`; `pattern` has a group for each."""
    if after is None:
        return None
    match = re.fullmatch(pattern, after, re.ASCII)
    if match is None or any(len(digits) > MAX_NUMBER_DIGITS for digits in match.groups()):
        raise unknown_place(after)
    return [int(digits) for digits in match.groups()]


def unknown_place(after: str) -> AppError:
    return AppError(f"'{after:.100}' is no id of this list.", code="invalid_cursor", param="after")
