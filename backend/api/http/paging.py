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
from sqlalchemy.orm import Session

from backend.db.pages import Listing, position_of, rows_after
from backend.db.search import MAX_SEARCH_CHARACTERS
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
Search = Annotated[
    str | None,
    Query(min_length=1, max_length=MAX_SEARCH_CHARACTERS, description="Part of the text, case-insensitive."),
]


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


def page_of(
    session: Session,
    listing: Listing[Row],
    query: PageQuery,
    *,
    to_item: Callable[[Row], Item],
    position: Callable[[str], Sequence[Any]] | None = None,
) -> Page[Item]:
    """Return the requested page of the list. Raises AppError 400 for a cursor that is not in it.

    `position` reads the values of the list's keys from the id of an item; without it, the id is the last key.
    """
    reached = None
    if query.after is not None:
        reached = position_of(session, listing, query.after) if position is None else position(query.after)
        if reached is None:
            raise invalid_cursor(query.after)
    rows, has_more = rows_after(
        session, listing, position=reached, limit=query.limit, descending=query.order is Order.DESC
    )
    return page([to_item(row) for row in rows], has_more=has_more)


def numbers_in_id(item_id: str, *, pattern: str) -> list[int]:
    """Parse the numbers in an id such as `12-3`; `pattern` has a group for each. Raises AppError 400."""
    match = re.fullmatch(pattern, item_id, re.ASCII)
    if match is None or any(len(digits) > MAX_NUMBER_DIGITS for digits in match.groups()):
        raise invalid_cursor(item_id)
    return [int(digits) for digits in match.groups()]


def invalid_cursor(after: str) -> AppError:
    return AppError(f"'{after:.100}' is not an id in this list.", code="invalid_cursor", param="after")
