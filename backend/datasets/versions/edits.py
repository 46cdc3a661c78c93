"""What a person may change in a dataset row by row: rewrite, delete, append. Pure: which rows that leaves.

Rows are named by their number in the file that is changed, from 0, whatever the other edits do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.errors import AppError

MAX_EDITS = 100_000
MAX_ROW = 10**12
RowNumber = Annotated[int, Field(ge=0, le=MAX_ROW, description="Counted from 0.")]


class _Edit(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReplaceRow(_Edit):
    """Write another item in the row's place."""

    op: Literal["replace"]
    row: RowNumber
    item: dict[str, Any]


class DeleteRow(_Edit):
    op: Literal["delete"]
    row: RowNumber


class AppendRow(_Edit):
    """Add a row at the end."""

    op: Literal["append"]
    item: dict[str, Any]


Edit = Annotated[ReplaceRow | DeleteRow | AppendRow, Field(discriminator="op")]


@dataclass(frozen=True, slots=True)
class EditPlan:
    """The edits sorted out, each as (its place among the edits, item). `replaced` and `deleted` by row number."""

    replaced: dict[int, tuple[int, dict[str, Any]]]
    deleted: frozenset[int]
    appended: list[tuple[int, dict[str, Any]]]


def planned(edits: Sequence[Edit], *, rows: int) -> EditPlan:
    """Raises AppError where an edit names a row that is not there, or one that another edit has named."""
    named: dict[int, int] = {}
    replaced: dict[int, tuple[int, dict[str, Any]]] = {}
    appended: list[tuple[int, dict[str, Any]]] = []
    for place, edit in enumerate(edits):
        if isinstance(edit, AppendRow):
            appended.append((place, edit.item))
            continue
        require_row(edit.row, rows=rows, param=f"edits.{place}.row")
        if edit.row in named:
            raise AppError(
                f"edits.{place} names row {edit.row}, which edits.{named[edit.row]} has changed already: say once what "
                "becomes of a row.",
                code="row_named_twice",
                param=f"edits.{place}.row",
            )
        named[edit.row] = place
        if isinstance(edit, ReplaceRow):
            replaced[edit.row] = (place, edit.item)
    return EditPlan(replaced=replaced, deleted=frozenset(named.keys() - replaced.keys()), appended=appended)


def require_row(number: int, *, rows: int, param: str) -> None:
    """Raises AppError where the file has no such row."""
    if number >= rows:
        raise AppError(
            f"{param}: there is no row {number}; the file's {rows} rows are numbered from 0 to {rows - 1}.",
            code="no_such_row",
            param=param,
        )
