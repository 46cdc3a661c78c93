"""Excel workbooks: the first visible sheet; its first line names the columns, each further line is a row.

Cells keep their type, whole numbers without `.0`; dates and times are converted to ISO 8601, durations to seconds.
A formula has the value stored with it. The whole sheet is in memory, within the reader's limit.
"""

import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from backend.datasets.formats.delimited import MAX_COLUMNS
from backend.datasets.formats.json_lines import BadLineError, RawRow, raw_row
from backend.datasets.formats.problems import Problem
from backend.errors import AppError

Cell = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta
MAX_CELLS = 20_000_000


def workbook_rows(file: BinaryIO) -> Iterator[RawRow | Problem]:
    """Read the rows. Raises AppError if there is no visible sheet or its first line does not name the columns."""
    header: list[str] | None = None
    for line, cells in _lines(file):
        if header is None:
            header = _checked(cells)
            continue
        try:
            yield raw_row(_item(header, cells), line=line)
        except BadLineError as error:
            yield Problem(line=line, code=error.code, message=str(error))


def _lines(file: BinaryIO) -> Iterator[tuple[int, list[Cell]]]:
    """Yield the non-empty lines with their numbers in the sheet."""
    file.seek(0)
    try:
        with CalamineWorkbook.from_filelike(file) as workbook:
            visible = [
                sheet.name
                for sheet in workbook.sheets_metadata
                if (sheet.typ, sheet.visible) == (SheetTypeEnum.WorkSheet, SheetVisibleEnum.Visible)
            ]
            if not visible:
                raise _refused("has no visible sheet", code="invalid_workbook")
            sheet = workbook.get_sheet_by_name(visible[0])
            if sheet.height * sheet.width > MAX_CELLS:
                raise _refused(
                    f"has a sheet of {sheet.height:,} x {sheet.width:,} cells, and the limit is {MAX_CELLS:,}: save it "
                    "as CSV",
                    code="too_many_cells",
                )
            first = (sheet.start or (0, 0))[0] + 1
            for line, cells in enumerate(sheet.to_python(), start=first):
                if any(cell != "" for cell in cells):
                    yield line, cells
    except (CalamineError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _refused(f"cannot be read: {reason}", code="invalid_workbook") from None


def _checked(cells: Sequence[Cell]) -> list[str]:
    """Return the column names. Trailing columns without a name are ignored if they are empty."""
    names = [str(_value(cell)).strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise _refused(f"has {len(names):,} columns; the limit is {MAX_COLUMNS:,}", code="too_many_columns")
    unnamed = next((number for number, name in enumerate(names, start=1) if not name), None)
    if unnamed is not None:
        raise _refused(f"has no name for column {unnamed} in its first line", code="invalid_header")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise _refused(f"names the column {twice!r:.80} twice in its first line", code="invalid_header")
    return names


def _item(header: Sequence[str], cells: Sequence[Cell]) -> dict[str, object]:
    if any(cell != "" for cell in cells[len(header) :]):
        raise BadLineError("wrong_cell_count", "has a cell beyond the last named column")
    return {name: _value(cell) for name, cell in zip(header, cells, strict=False)}


def _value(cell: Cell) -> str | int | float | bool:
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if isinstance(cell, datetime.timedelta):
        return cell.total_seconds()
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return cell


def _refused(problem: str, *, code: str) -> AppError:
    return AppError(f"The Excel workbook {problem}.", code=code, param="file")
