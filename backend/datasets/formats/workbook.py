"""Excel workbooks: the sheet that holds the table, and its rows below the line that names the columns.

Without a choice, the sheet is the first visible one with column names of a known dataset format, or else the first
with a table. Cells keep their type, whole numbers without `.0`; dates and times are converted to ISO 8601, durations to
seconds. A formula has the value stored with it. The whole sheet is in memory, within the reader's limit.
"""

import datetime
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from backend.datasets.formats.json_lines import BadLineError, RawRow, raw_row
from backend.datasets.formats.layout import Choice, IsHeader, Layout, guessed_header, names_in, require_distinct
from backend.datasets.formats.problems import Problem
from backend.errors import AppError

Cell = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta
Line = tuple[int, list[Cell]]
"""A line that is not empty, with its number in the sheet."""
MAX_CELLS = 20_000_000
TRIED_SHEETS = 20
LOOKED_AT = 200
"""Number of lines of a sheet that are looked at to find its table, empty ones included."""
SHOWN_SHEETS = 10


def read_workbook(file: BinaryIO, *, choice: Choice, is_header: IsHeader) -> tuple[Layout, Iterator[RawRow | Problem]]:
    """Return where the table is, and its rows. Raises AppError if there is no such sheet or header."""
    file.seek(0)
    try:
        with CalamineWorkbook.from_filelike(file) as workbook:
            sheets = _visible(workbook)
            sheet = _sheet(workbook, sheets, choice=choice, is_header=is_header)
            lines = _lines(sheet)
    except (CalamineError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _refused(f"cannot be read: {reason}", code="invalid_workbook") from None
    start = _start(lines, sheet=sheet.name, choice=choice, is_header=is_header)
    header = lines[start] if lines else (1, [])
    rows, notes = _without_notes(lines[start + 1 :], columns=len(names_in(header[1])))
    if choice == Choice() and (len(sheets) > 1 or start):
        notes.insert(0, _told(sheet.name, header[0], sheets))
    layout = Layout(header_row=header[0], sheet=sheet.name, sheets=sheets, notes=tuple(notes))
    return layout, _rows(header, rows)


def _visible(workbook: CalamineWorkbook) -> tuple[str, ...]:
    found = tuple(
        sheet.name
        for sheet in workbook.sheets_metadata
        if (sheet.typ, sheet.visible) == (SheetTypeEnum.WorkSheet, SheetVisibleEnum.Visible)
    )
    if not found:
        raise _refused("has no visible sheet", code="invalid_workbook")
    return found


def _sheet(workbook: CalamineWorkbook, visible: Sequence[str], *, choice: Choice, is_header: IsHeader) -> CalamineSheet:
    """Return the chosen sheet, or the one that most likely holds the table. Raises AppError if there is none."""
    if choice.sheet is not None:
        if choice.sheet not in workbook.sheet_names:
            raise AppError(
                f"The workbook has no sheet '{choice.sheet:.60}'. Its sheets: {_named(visible)}.",
                code="invalid_mapping",
                param="mapping",
            )
        return workbook.get_sheet_by_name(choice.sheet)
    with_table = None
    for name in visible[:TRIED_SHEETS]:
        sheet = workbook.get_sheet_by_name(name)
        lines = [cells for cells in sheet.to_python(nrows=LOOKED_AT) if any(cell != "" for cell in cells)]
        start = guessed_header(lines, is_header=is_header)
        if start is not None and is_header(names_in(lines[start])):
            return sheet
        with_table = with_table or (sheet if start is not None and start + 1 < len(lines) else None)
    return with_table or workbook.get_sheet_by_name(visible[0])


def _lines(sheet: CalamineSheet) -> list[Line]:
    """Return the lines that are not empty. Raises AppError if the sheet is too large."""
    if sheet.height * sheet.width > MAX_CELLS:
        raise _refused(
            f"has a sheet of {sheet.height:,} x {sheet.width:,} cells, and the limit is {MAX_CELLS:,}: save it as CSV",
            code="too_many_cells",
        )
    first = (sheet.start or (0, 0))[0] + 1
    return [(n, cells) for n, cells in enumerate(sheet.to_python(), start=first) if any(cell != "" for cell in cells)]


def _start(lines: Sequence[Line], *, sheet: str, choice: Choice, is_header: IsHeader) -> int:
    """Return the index of the header among the lines. Raises AppError if the chosen line is empty."""
    if choice.header_row is None:
        return guessed_header([cells for _, cells in lines], is_header=is_header) or 0
    chosen = next((index for index, (line, _) in enumerate(lines) if line == choice.header_row), None)
    if chosen is None:
        raise AppError(
            f"Line {choice.header_row:,} of the sheet '{sheet:.60}' is empty, so it cannot name the columns: choose "
            "another `header_row`.",
            code="invalid_mapping",
            param="mapping",
        )
    return chosen


def _without_notes(lines: list[Line], *, columns: int) -> tuple[list[Line], list[str]]:
    """Return the rows without lines of one cell that stand under an empty line at the end, and a sentence on these."""
    end = len(lines)
    while end and columns > 1 and sum(cell != "" for cell in lines[end - 1][1]) == 1:
        end -= 1
    if end in (0, len(lines)) or lines[end][0] == lines[end - 1][0] + 1:
        return lines, []
    text = next(str(cell) for cell in lines[end][1] if cell != "")
    return lines[:end], [f"From line {lines[end][0]:,} on, under an empty line, are notes ('{text:.60}'): left out."]


def _told(sheet: str, line: int, sheets: Sequence[str]) -> str:
    others = [name for name in sheets if name != sheet]
    told = f"The table was found in the sheet '{sheet:.60}', with the column names in line {line:,}"
    return f"{told}; other sheets: {_named(others)}." if others else f"{told}."


def _named(sheets: Sequence[str]) -> str:
    return ", ".join(f"'{name:.60}'" for name in sheets[:SHOWN_SHEETS]) + (" ..." if len(sheets) > SHOWN_SHEETS else "")


def _rows(header: Line, lines: Sequence[Line]) -> Iterator[RawRow | Problem]:
    """Yield the rows. Raises AppError if the header does not name every column."""
    line, cells = header
    texts = [str(_value(cell)).strip() for cell in cells]
    first = next((index for index, text in enumerate(texts) if text), 0)
    names = names_in(texts)
    unnamed = next((number for number, name in enumerate(names, start=first + 1) if not name), None)
    if unnamed is not None:
        raise _refused(f"has no name for column {unnamed} in line {line:,}", code="invalid_header")
    require_distinct(names, what="Excel workbook", line=line)
    for number, row in lines:
        try:
            yield raw_row(_item(names, row, first=first), line=number)
        except BadLineError as error:
            yield Problem(line=number, code=error.code, message=str(error))


def _item(names: Sequence[str], cells: Sequence[Cell], *, first: int) -> dict[str, object]:
    end = first + len(names)
    if any(cell != "" for cell in (*cells[:first], *cells[end:])):
        raise BadLineError("wrong_cell_count", "has a cell outside the named columns")
    return {name: _value(cell) for name, cell in zip(names, cells[first:end], strict=False)}


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
