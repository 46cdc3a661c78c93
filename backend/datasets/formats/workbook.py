"""Excel workbooks: the sheet that holds the table, and its rows below the line that names the columns.

Without a choice, the sheet is the first visible one with rows below column names of a known dataset format, or else the
one with the most rows as wide as its header. Numbers are as stored, to the 15 digits that a sheet shows, whole ones
without `.0` and with all digits below 2**53; percentages are text with their sign, and whole numbers with leading zeros
text with these. Dates and times are converted to ISO 8601, durations to hours, minutes and seconds. A formula has the
value stored with it; an error, or a formula without a value, makes a bad row. The whole sheet is in memory, within the
reader's limit.
"""

import datetime
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import BinaryIO

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from backend.datasets.formats.json_lines import BadLineError, RawRow, raw_row
from backend.datasets.formats.layout import Choice, IsHeader, Layout, guessed_header, named, names_in, require_distinct
from backend.datasets.formats.problems import Problem
from backend.datasets.formats.sheet_xml import PERCENT, SheetMarks, column_name, sheet_marks
from backend.errors import AppError

Cell = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta
Value = str | int | float | bool
Line = tuple[int, list[Cell]]
"""A line with its number in the sheet."""
Merged = Sequence[tuple[tuple[int, int], tuple[int, int]]]
"""(line, column) of the first and of the last cell of each merged range, counted from 0."""
MAX_CELLS = 20_000_000
TRIED_SHEETS = 20
LOOKED_AT = 200
"""Number of lines of a sheet that are looked at to find its table, empty ones included."""
SHOWN_DIGITS = 15
"""Significant digits of a number that a sheet shows; those that arithmetic leaves behind them are noise."""
EXACT_BELOW = 2**53
"""Whole numbers below it are stored with all their digits."""


def read_workbook(file: BinaryIO, *, choice: Choice, is_header: IsHeader) -> tuple[Layout, Iterator[RawRow | Problem]]:
    """Return where the table is, and its rows. Raises AppError if there is no such sheet or header."""
    file.seek(0)
    try:
        with CalamineWorkbook.from_filelike(file) as workbook:
            sheets = _visible(workbook)
            sheet = _sheet(workbook, sheets, choice=choice, is_header=is_header)
            lines = _lines(sheet)
        marks = sheet_marks(file, sheet=sheet.name)
    except (CalamineError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _refused(f"cannot be read: {reason}", code="invalid_workbook") from None
    left = 0 if sheet.start is None else sheet.start[1]
    start = _start(lines, choice=choice, is_header=is_header)
    header = (choice.header_row or 1, []) if start is None else lines[start]
    below = [] if start is None else lines[start + 1 :]
    filled = [line for line in below if _is_filled(line[1]) or line[0] in marks.faults]
    rows, notes = _without_notes(filled, columns=len(names_in(header[1])))
    if choice == Choice() and (len(sheets) > 1 or any(_is_filled(cells) for _, cells in lines[:start])):
        notes.insert(0, _told(sheet.name, header[0], sheets))
    if _leave_out_index(header[1], rows):
        notes.append("The first column has no name and numbers the rows: it is left out.")
    if _fill_merged(rows, sheet.merged_cell_ranges or [], left=left):
        notes.append("Cells merged over several lines have their value in each of these lines.")
    layout = Layout(header_row=header[0], sheet=sheet.name, sheets=sheets, notes=tuple(notes))
    return layout, _rows(header, rows, layout=layout, marks=marks, left=left, is_chosen=choice.header_row is not None)


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
                f"The workbook has no sheet '{choice.sheet:.60}'. Its sheets: {named(visible)}.",
                code="invalid_mapping",
                param="mapping",
            )
        return workbook.get_sheet_by_name(choice.sheet)
    ranked: list[tuple[tuple[int, int], CalamineSheet]] = []
    for name in visible[:TRIED_SHEETS]:
        sheet = workbook.get_sheet_by_name(name)
        lines = sheet.to_python(nrows=LOOKED_AT)
        start = guessed_header(lines, is_header=is_header)
        if start is None or start + 1 == len(lines):
            continue
        if is_header(names_in(lines[start])):
            return sheet
        ranked.append((_equal_rows(lines[start:]), sheet))
    if not ranked:
        return workbook.get_sheet_by_name(visible[0])
    return max(ranked, key=lambda found: found[0])[1]


def _equal_rows(lines: Sequence[Sequence[Cell]]) -> tuple[int, int]:
    """Return how many lines are as wide as the first, which names the columns, and that width."""
    width, *below = (len(names_in(cells)) for cells in lines)
    return below.count(width), width


def _lines(sheet: CalamineSheet) -> list[Line]:
    """Return the lines from the first one that is not empty. Raises AppError if the sheet is too large."""
    if sheet.height * sheet.width > MAX_CELLS:
        raise _refused(
            f"has a sheet of {sheet.height:,} x {sheet.width:,} cells, and the limit is {MAX_CELLS:,}: save it as CSV",
            code="too_many_cells",
        )
    first = (sheet.start or (0, 0))[0] + 1
    return list(enumerate(sheet.to_python(), start=first))


def _is_filled(cells: Sequence[Cell]) -> bool:
    return any(cell != "" for cell in cells)


def _start(lines: Sequence[Line], *, choice: Choice, is_header: IsHeader) -> int | None:
    """Return the index of the header among the lines; None if there is none, or the chosen line is empty."""
    if choice.header_row is None:
        return guessed_header([cells for _, cells in lines], is_header=is_header) or (0 if lines else None)
    return next((n for n, (line, cells) in enumerate(lines) if line == choice.header_row and _is_filled(cells)), None)


def _leave_out_index(header: Sequence[Cell], rows: Sequence[Line]) -> bool:
    """Empty a first column without a name that numbers the rows, as pandas writes it; return whether there is one."""
    names = [str(cell).strip() for cell in header[:2]]
    numbers = [cells[0] for _, cells in rows]
    if names[:1] != [""] or not any(names) or len(set(numbers)) < len(numbers) or not all(map(_is_number, numbers)):
        return False
    for _, cells in rows:
        cells[0] = ""
    return bool(rows)


def _is_number(cell: Cell) -> bool:
    """Return whether the cell is a whole number from 0."""
    return isinstance(cell, int | float) and not isinstance(cell, bool) and cell >= 0 and float(cell).is_integer()


def _fill_merged(lines: Sequence[Line], merged: Merged, *, left: int) -> bool:
    """Write the value of cells merged downwards into each of their lines; return whether there were any.

    Cells merged sideways are left as they are: one value is not that of two columns.
    """
    cells_of = dict(lines)
    end = max(cells_of, default=0)
    found = False
    for (first, column), (last, _) in merged:
        top = cells_of.get(first + 1, [])
        if not left <= column < left + len(top):
            continue
        for line in range(first + 2, min(last + 1, end) + 1):
            if line in cells_of:
                cells_of[line][column - left] = top[column - left]
                found = True
    return found


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
    return f"{told}; other sheets: {named(others)}." if others else f"{told}."


def _rows(
    header: Line, lines: Sequence[Line], *, layout: Layout, marks: SheetMarks, left: int, is_chosen: bool
) -> Iterator[RawRow | Problem]:
    """Yield the rows of cells from column `left`. Raises AppError if the header does not name every column."""
    try:
        first, names = _names(header, is_chosen=is_chosen)
    except AppError as error:
        raise layout.refused(error) from None
    columns = [column_name(left + n) for n in range(len(header[1]))]
    for number, row in lines:
        try:
            if number in marks.faults:
                raise BadLineError(*marks.faults[number])
            shown = [
                _shown(cell, number_format=marks.formats.get(f"{letters}{number}"))
                for letters, cell in zip(columns, row, strict=False)
            ]
            yield raw_row(_item(names, shown, first=first), line=number)
        except BadLineError as error:
            yield Problem(line=number, code=error.code, message=str(error))


def _names(header: Line, *, is_chosen: bool) -> tuple[int, list[str]]:
    """Return the index of the first column that has a name, and the names. Raises AppError if one is missing."""
    line, cells = header
    if is_chosen and not cells:
        raise AppError(
            f"Line {line:,} of the sheet is empty, so it cannot name the columns: choose another `header_row`.",
            code="invalid_mapping",
            param="mapping",
        )
    texts = [str(_value(cell)).strip() for cell in cells]
    first = next((index for index, text in enumerate(texts) if text), 0)
    names = names_in(texts)
    unnamed = next((number for number, name in enumerate(names, start=first + 1) if not name), None)
    if unnamed is not None:
        raise _refused(f"has no name for column {unnamed} in line {line:,}", code="invalid_header")
    require_distinct(names, what="Excel workbook", line=line)
    return first, names


def _item(names: Sequence[str], cells: Sequence[Value], *, first: int) -> dict[str, object]:
    end = first + len(names)
    if any(cell != "" for cell in (*cells[:first], *cells[end:])):
        raise BadLineError("wrong_cell_count", "has a cell outside the named columns")
    return dict(zip(names, cells[first:end], strict=False))


def _shown(cell: Cell, *, number_format: str | None) -> Value:
    """Return a cell's value, as text if the sheet shows a percentage or leading zeros.

    Raises BadLineError for a number of which digits would be lost.
    """
    if isinstance(cell, float) and abs(cell) >= 10**SHOWN_DIGITS and float(_value(cell)) != cell:
        raise BadLineError(
            "number_too_long", f"has a number of more than {SHOWN_DIGITS} digits ({cell:.0f}): write it as text"
        )
    value = _value(cell)
    if number_format is None or isinstance(value, bool | str) or not math.isfinite(value):
        return value
    if number_format == PERCENT:
        return f"{(Decimal(str(value)) * 100).normalize():f}%"
    return _masked(value, mask=number_format) if isinstance(value, int) else value


def _masked(number: int, *, mask: str) -> str:
    """Write the digits in place of the zeros of a mask; the first zero takes those that are too many."""
    places = mask.count("0")
    digits = str(abs(number)).zfill(places)
    beyond = len(digits) - places
    parts = iter((digits[: beyond + 1], *digits[beyond + 1 :]))
    shown = "".join(next(parts) if character == "0" else character for character in mask).strip()
    return f"-{shown}" if number < 0 else shown


def _duration(duration: datetime.timedelta) -> str:
    """Write hours, minutes and seconds, as in 1:30:00."""
    if duration < datetime.timedelta():
        return f"-{_duration(-duration)}"
    minutes, seconds = divmod(duration.days * 86400 + duration.seconds, 60)
    fraction = f".{duration.microseconds:06}".rstrip("0") if duration.microseconds else ""
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}{fraction}"


def _value(cell: Cell) -> Value:
    if isinstance(cell, datetime.timedelta):
        return _duration(cell)
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT_BELOW:
        return int(cell)
    if isinstance(cell, float):
        shown = f"{cell:.{SHOWN_DIGITS}g}"
        return int(Decimal(shown)) if float(shown).is_integer() else float(shown)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return cell


def _refused(problem: str, *, code: str) -> AppError:
    return AppError(f"The Excel workbook {problem}.", code=code, param="file")
