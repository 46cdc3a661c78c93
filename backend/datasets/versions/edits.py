"""Row-level edits of a dataset: replace, delete, append. Pure.

Rows are identified by their number in the original file, from 0, independent of the other edits.
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
    """Replace the row with another item."""

    op: Literal["replace"]
    row: RowNumber
    item: dict[str, Any]


class DeleteRow(_Edit):
    """Delete the row."""

    op: Literal["delete"]
    row: RowNumber


class AppendRow(_Edit):
    """Add a row at the end."""

    op: Literal["append"]
    item: dict[str, Any]


Edit = Annotated[ReplaceRow | DeleteRow | AppendRow, Field(discriminator="op")]


@dataclass(frozen=True, slots=True)
class EditPlan:
    """The edits by kind, each as (index among the edits, item). `replaced` and `deleted` are by row number."""

    replaced: dict[int, tuple[int, dict[str, Any]]]
    deleted: frozenset[int]
    appended: list[tuple[int, dict[str, Any]]]


def plan_edits(edits: Sequence[Edit], *, rows: int) -> EditPlan:
    """Sort the edits by kind. Raises AppError if an edit names a row that does not exist or is named twice."""
    named: dict[int, int] = {}
    replaced: dict[int, tuple[int, dict[str, Any]]] = {}
    appended: list[tuple[int, dict[str, Any]]] = []
    for index, edit in enumerate(edits):
        if isinstance(edit, AppendRow):
            appended.append((index, edit.item))
            continue
        require_row(edit.row, rows=rows, param=f"edits.{index}.row")
        if edit.row in named:
            raise AppError(
                f"edits.{index} names row {edit.row}, which edits.{named[edit.row]} already changes: give one edit for "
                "each row.",
                code="row_named_twice",
                param=f"edits.{index}.row",
            )
        named[edit.row] = index
        if isinstance(edit, ReplaceRow):
            replaced[edit.row] = (index, edit.item)
    return EditPlan(replaced=replaced, deleted=frozenset(named.keys() - replaced.keys()), appended=appended)


def require_row(number: int, *, rows: int, param: str) -> None:
    """Raise AppError if the file has no such row."""
    if number >= rows:
        raise AppError(
            f"{param}: there is no row {number}; the file's {rows} rows are numbered from 0 to {rows - 1}.",
            code="no_such_row",
            param=param,
        )
