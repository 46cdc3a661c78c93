"""CSV and TSV: a header line, then one row per record; every cell is text. The delimiter is detected.

Lines of empty cells, and empty cells beyond the header, do not count: spreadsheets write them.

`csv.Sniffer` guesses a dialect from character frequencies and is wrong on prose; here the delimiter is the one that
splits the first records into equally many cells. Lines above a header of known names are titles.
"""

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from backend.datasets.formats.json_lines import MAX_LINE_BYTES, BadLineError, RawRow, raw_row
from backend.datasets.formats.layout import TRIED_LINES, IsHeader, known_header, names_in, require_distinct
from backend.datasets.formats.problems import Problem
from backend.errors import AppError

DELIMITERS = (",", "\t", ";", "|")
KEPT_DIGITS = re.compile(r'="(\d+)"')
TRIED_RECORDS = 50
UNIFORM_SHARE = 0.8
"""Least share of records as wide as the header from which text without a table's file name counts as a table."""

csv.field_size_limit(MAX_LINE_BYTES)


def lines_of(head: str) -> list[str]:
    """Split text where `delimited_rows` does, at line feeds alone, so that both count the same lines."""
    return list(io.StringIO(head, newline="\n"))


def delimiter_of(head: str, *, min_share: float) -> str | None:
    """Return the delimiter for which at least `min_share` of the first records has as many cells as the header.

    None if there is none or the header has only one cell. `head` may end within a record. Tabs win a tie: they separate
    cells copied from a spreadsheet, while `12,000` in each of them may look like two cells.
    """
    best: tuple[float, bool, int, str] | None = None
    lines = lines_of(head)
    for delimiter in DELIMITERS:
        try:
            records = list(itertools.islice(filter(None, csv.reader(lines, delimiter=delimiter)), TRIED_RECORDS))
        except csv.Error:
            continue
        widths = [len(record) for record in (records if len(records) < 3 else records[:-1])]
        if len(widths) > 1 and widths[0] > 1:
            share = Counter(widths)[widths[0]] / len(widths)
            rank = (share, delimiter == "\t", widths[0])
            if share >= min_share and (best is None or rank > best[:3]):
                best = (*rank, delimiter)
    return None if best is None else best[3]


def header_below_titles(head: str, *, is_header: IsHeader) -> tuple[str, int] | None:
    """Return (delimiter, line) of a header of known names that has other lines above it; None without one."""
    lines = lines_of(head)[: TRIED_LINES * 2]
    found: list[tuple[int, str]] = []
    for delimiter in DELIMITERS:
        reader, starts, names = csv.reader(lines, delimiter=delimiter), [1], list[list[str]]()
        with suppress(csv.Error):
            for record in itertools.islice(reader, TRIED_LINES):
                names.append(names_in(record) if len(record) > 1 else [])
                starts.append(reader.line_num + 1)
        known = known_header(names, is_header=is_header)
        found += [] if known is None else [(starts[known], delimiter)]
    line, delimiter = min(found, default=(1, ""))
    return (delimiter, line) if line > 1 else None


def delimited_rows(file: BinaryIO, *, encoding: str, delimiter: str, header_row: int) -> Iterator[RawRow | Problem]:
    """Read the records as rows or problems; the header is in line `header_row`. Raises AppError if that cannot be."""
    lines = _Lines(file, encoding=encoding)
    lines.skip(header_row - 1)
    records = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        lines.begin_record()
        try:
            record = next(records)
            if not any(record):
                continue
            if header is None:
                header = _without_empty_end(record, width=0)
                require_distinct(header, what="table", line=lines.first)
                continue
            record = _without_empty_end(record, width=len(header))
            if len(record) != len(header):
                yield _uneven(header, record, line=lines.first)
                continue
            yield raw_row(dict(zip(header, map(_shown, record), strict=True)), line=lines.first)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(line=lines.first, code="invalid_csv", message=f"is not CSV: {error}")
        except BadLineError as error:
            yield Problem(line=lines.first, code=error.code, message=str(error))
        if header is None:
            raise AppError(
                f"The header on line {lines.first} cannot be read.", code="invalid_header", param="file"
            ) from None


class _Lines:
    """Decoded lines, counted from 1, with a size limit for each line and record. Iteration continues after an error."""

    def __init__(self, file: BinaryIO, *, encoding: str) -> None:
        self.file = file
        self.encoding = encoding
        self.count = 0
        self.first = 1
        self.record_bytes = 0

    def skip(self, count: int) -> None:
        """Pass over lines, whatever is in them."""
        for _ in range(count):
            try:
                next(self)
            except BadLineError:
                continue
            except StopIteration:
                raise AppError(
                    f"The file has {self.count:,} lines, so line {count + 1:,} cannot name the columns: choose another "
                    "`header_row`.",
                    code="invalid_mapping",
                    param="mapping",
                ) from None
            finally:
                self.record_bytes = 0

    def begin_record(self) -> None:
        self.first = self.count + 1
        self.record_bytes = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.file.readline(MAX_LINE_BYTES + 1)
        if not line:
            raise StopIteration
        self.count += 1
        rest = line
        while not rest.endswith(b"\n") and len(rest) > MAX_LINE_BYTES:
            rest = self.file.readline(MAX_LINE_BYTES + 1)
        self.record_bytes += len(line)
        if self.record_bytes > MAX_LINE_BYTES:
            raise BadLineError(
                "line_too_long",
                f"begins a record longer than {MAX_LINE_BYTES // 1024**2} MiB: is a closing quote missing?",
            )
        if b"\0" in line:
            raise BadLineError("nul_character", "contains a NUL byte")
        try:
            return line.decode(self.encoding)
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise BadLineError(
                "invalid_encoding", f"is not {self.encoding.upper()}: byte {error.start + 1} is 0x{byte:02x}"
            ) from None


def _shown(cell: str) -> str:
    """Return what a spreadsheet shows for a cell: `="007"` keeps the zeros of a number that is meant as text."""
    kept = KEPT_DIGITS.fullmatch(cell) if cell.startswith('="') else None
    return cell if kept is None else kept[1]


def _without_empty_end(record: list[str], *, width: int) -> list[str]:
    """Return the record without the empty cells at its end, beyond `width` cells."""
    end = len(record)
    while end > width and not record[end - 1].strip():
        end -= 1
    return record[:end]


def _uneven(header: list[str], record: list[str], *, line: int) -> Problem:
    """Describe a record of the wrong width; cells beyond the header are named by their position."""
    beyond = (f"column {number}" for number in itertools.count(len(header) + 1))
    read = dict(zip(itertools.chain(header, beyond), record, strict=False))
    return Problem(
        line=line,
        code="wrong_cell_count",
        message=f"has {len(record)} {'cell' if len(record) == 1 else 'cells'}, but the header has {len(header)}",
        read=json.dumps(read, ensure_ascii=False),
    )
