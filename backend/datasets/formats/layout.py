"""Where the table of a sheet or a CSV file begins: titles may be above its header, and notes below its rows."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.errors import AppError

MAX_COLUMNS = 1000
TRIED_LINES = 50
"""Number of lines, from the first, among which the header is looked for."""
SHOWN_SHEETS = 10
IsHeader = Callable[[Sequence[str]], bool]
"""Whether names are those of a dataset format that needs no mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a user says about a file's layout; None is guessed. `header_row` is a line, counted from 1."""

    sheet: str | None = None
    header_row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The sheet that is read, all visible sheets, and the line of the header, counted from 1."""

    header_row: int
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was guessed or left out, as sentences."""

    def refused(self, error: AppError) -> AppError:
        """Return the error, with the sheet that was read if there are others."""
        others = [name for name in self.sheets if name != self.sheet]
        if not others:
            return error
        told = f"The sheet '{self.sheet:.60}' was read; others can be chosen with `sheet`: {named(others)}."
        return AppError(f"{error.message} {told}", code=error.code, param=error.param)


def guessed_header(lines: Sequence[Sequence[object]], *, is_header: IsHeader) -> int | None:
    """Return the index of the header: that of known names, or else of a table. Empty lines count.

    A table has at least two columns, and a header of more than half as many cells as its widest line. None without one.
    """
    known = known_header([names_in(cells) for cells in lines[:TRIED_LINES]], is_header=is_header)
    if known is not None:
        return known
    widths = [sum(cell != "" for cell in cells) for cells in lines[:TRIED_LINES]]
    least = max(2, max(widths, default=0) // 2 + 1)
    return next((index for index, width in enumerate(widths) if width >= least), None)


def known_header(names: Sequence[Sequence[str]], *, is_header: IsHeader) -> int | None:
    """Return the index of the first line of known names; None without one.

    Directly below two lines or more of as many cells, it is a row of their table, as in a list of words; then the first
    of those is the header. A single such line is a title.
    """
    known = next((index for index, found in enumerate(names) if is_distinct(found) and is_header(found)), None)
    if known is None:
        return None
    top = known
    while top and all(names[top - 1]) and len(names[top - 1]) == len(names[known]):
        top -= 1
    return top if known - top > 1 else known


def names_in(cells: Sequence[object]) -> list[str]:
    """Return the texts of a line without surrounding blanks, and without empty cells before and behind them."""
    texts = [str(cell).strip() for cell in cells]
    filled = [index for index, text in enumerate(texts) if text]
    return texts[filled[0] : filled[-1] + 1] if filled else []


def named(sheets: Sequence[str]) -> str:
    """Return the names of sheets for a message."""
    return ", ".join(f"'{name:.60}'" for name in sheets[:SHOWN_SHEETS]) + (" ..." if len(sheets) > SHOWN_SHEETS else "")


def is_distinct(names: Sequence[str]) -> bool:
    return all(names) and len(set(names)) == len(names)


def require_distinct(names: Sequence[str], *, what: str, line: int) -> None:
    """Raise AppError if there are too many columns, or two of the same name."""
    if len(names) > MAX_COLUMNS:
        raise AppError(
            f"The {what} has {len(names):,} columns; the limit is {MAX_COLUMNS:,}.",
            code="too_many_columns",
            param="file",
        )
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise AppError(
            f"The {what} names the column {twice!r:.80} twice in line {line:,}.", code="invalid_header", param="file"
        )
