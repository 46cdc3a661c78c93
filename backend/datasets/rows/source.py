"""Detection of a file's format by its content, and access to its rows. The file name is used only where the content is
ambiguous: text with one column, or with lines of unequal width, is CSV if it is named so.
"""

import io
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import BinaryIO, Literal, cast

from backend.datasets.formats.archive import Archive, no_workbook, open_zip, unpack_gzip
from backend.datasets.formats.delimited import (
    UNIFORM_SHARE,
    delimited_rows,
    delimiter_of,
    header_below_titles,
    lines_of,
)
from backend.datasets.formats.json_lines import BadLineError, RawRow, json_lines, parse_line
from backend.datasets.formats.json_lists import data_list, json_list
from backend.datasets.formats.layout import Choice, Layout
from backend.datasets.formats.problems import Problem
from backend.datasets.formats.text import Utf8Stream, detect_encoding, legacy_encoding
from backend.datasets.rows.recognise import RULES, is_known_header
from backend.datasets.rows.shape import ColumnMapping
from backend.errors import AppError
from backend.settings import settings

HEAD_BYTES = 256 * 1024
GZIP, ZIP, PARQUET = b"\x1f\x8b", b"PK", b"PAR1"
BLANK = b" \t\r\n"
BINARY = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Office document (.xls) or one with a password",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ": "xz data",
    b"\x28\xb5\x2f\xfd": "zstandard data",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow file",
    b"Obj\x01": "an Avro file",
    b"\x80\x04": "a Python pickle",
    b"\x7fELF": "a program",
}
MARKUP = {
    "HTML": re.compile(rb"\s*<(?:!--|(?:!doctype\s+html|html|head|meta|style|body|div|table)\b)", re.IGNORECASE),
    "XML": re.compile(rb"\s*<\?xml\b"),
}
"""How the pages begin that web sites and programs offer as workbooks (.xls)."""
QUESTION_KEYS = {rule.question.partition(".")[0] for rule in RULES}
DELIMITED_SUFFIXES = (".csv", ".tsv", ".tab")


class Format(StrEnum):
    """The format of the rows, independent of compression."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    EXCEL = "xlsx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A file being read. `counted_in`: the unit of a row's `line`. `archive` resolves the paths of images.

    `file`: its unpacked bytes; their position shows how far the rows have been read.
    """

    format: Format
    rows: Iterator[RawRow | Problem]
    encoding: str | None = "utf-8"
    packing: Literal["gzip", "zip"] | None = None
    archive: Archive | None = None
    file: BinaryIO | None = None
    layout: Layout | None = None
    """Where the table of a sheet or a CSV file begins."""
    columns_of_bytes: tuple[str, ...] = ()
    """Columns of bytes, which are read as base64."""

    @property
    def counted_in(self) -> Literal["line", "row"]:
        return "row" if self.format in (Format.PARQUET, Format.EXCEL) else "line"


@contextmanager
def open_table(file: BinaryIO, *, filename: str = "", mapping: ColumnMapping | None = None) -> Iterator[Table]:
    """Open the table in a seekable file. Raises AppError if there is none or its compression is invalid."""
    choice = Choice() if mapping is None else mapping.layout
    max_bytes = settings().max_upload_bytes
    named_workbook = filename.lower().endswith(".xlsx")
    with ExitStack() as stack:
        packing: Literal["gzip", "zip"] | None = None
        archive = None
        file.seek(0)
        start = file.read(4)
        file.seek(0)
        if start.startswith(ZIP) and start[2:] in (b"\x03\x04", b"\x05\x06", b"\x07\x08"):
            packing, archive = "zip", open_zip(file, max_bytes=max_bytes)
            stack.enter_context(archive.zip)
            if archive.is_workbook:
                from backend.datasets.formats.workbook import read_workbook

                layout, rows = read_workbook(file, choice=choice, is_header=is_known_header)
                yield Table(format=Format.EXCEL, rows=rows, encoding=None, file=file, layout=layout)
                return
            if named_workbook:
                raise no_workbook()
            filename = archive.table
            file = stack.enter_context(archive.open_table(max_bytes=max_bytes))
            start = file.read(4)
            file.seek(0)
        elif start.startswith(ZIP) and named_workbook:
            raise no_workbook()
        if start.startswith(GZIP):
            packing = packing or "gzip"
            file = stack.enter_context(unpack_gzip(file, max_bytes=max_bytes))
            filename = filename.removesuffix(".gz")
        table = _table(file, filename=filename, choice=choice, max_bytes=max_bytes)
        _require_applicable(choice, table)
        yield replace(table, file=file, packing=packing, archive=archive)


def _require_applicable(choice: Choice, table: Table) -> None:
    """Raise AppError if a layout was chosen that files of this format do not have."""
    if choice.sheet is not None:
        message = "mapping.sheet: only Excel workbooks have sheets, and this file is none: leave it out."
    elif choice.header_row is not None and table.layout is None:
        message = f"mapping.header_row: the columns of {table.format.upper()} are named in no line: leave it out."
    else:
        return
    raise AppError(message, code="invalid_mapping", param="mapping")


def _table(file: BinaryIO, *, filename: str, choice: Choice, max_bytes: int) -> Table:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith(PARQUET):
        from backend.datasets.formats import parquet  # pyarrow takes 60 MB, which no other format needs

        rows, of_bytes = parquet.parquet_rows(file, max_bytes=max_bytes), parquet.columns_of_bytes(file)
        return Table(format=Format.PARQUET, rows=rows, encoding=None, columns_of_bytes=of_bytes)
    if head.startswith((GZIP, b"PK\x03\x04")):
        raise _unsupported("an archive within an archive")
    for magic, name in BINARY.items():
        if head.startswith(magic):
            raise _unsupported(name)
    encoding, begin = detect_encoding(head)
    if encoding != "utf-8":
        file, begin = (
            cast("BinaryIO", io.BufferedReader(Utf8Stream(file, encoding=encoding, start=begin), HEAD_BYTES)),
            0,
        )
    return _Text(file, begin=begin, filename=filename.lower(), header_row=choice.header_row).table(encoding)


class _Text:
    """Text from offset `begin`, in UTF-8 or an encoding not known yet: JSON, JSON Lines, or a CSV table."""

    def __init__(self, file: BinaryIO, *, begin: int, filename: str, header_row: int | None) -> None:
        self.file = file
        self.begin = begin
        self.filename = filename
        self.header_row = header_row
        self.head = self._rewound().read(HEAD_BYTES)

    def table(self, encoding: str) -> Table:
        self._require_no_markup()
        opening = self.head.lstrip(BLANK)[:1]
        if opening == b"[":
            start = self.head.index(b"[") + 1
            return Table(format=Format.JSON, rows=json_list(self._rewound(), start=start), encoding=encoding)
        if opening == b"{":
            start_or_none = None if self._first_line_is_a_row() else data_list(self.head)
            if start_or_none is not None:
                return Table(
                    format=Format.JSON, rows=json_list(self._rewound(), start=start_or_none), encoding=encoding
                )
        elif opening and (delimited := self._delimited(encoding)):
            return delimited
        return Table(format=Format.JSONL, rows=json_lines(self._rewound()), encoding=encoding)

    def _require_no_markup(self) -> None:
        kind = next((kind for kind, begins in MARKUP.items() if begins.match(self.head)), None)
        if kind is not None:
            raise AppError(
                f"The file is {kind}, whatever its name says: open it in a spreadsheet program and save it as an Excel "
                "workbook (.xlsx) or CSV.",
                code="other_format",
                param="file",
            )

    def _rewound(self) -> BinaryIO:
        self.file.seek(self.begin)
        return self.file

    def _first_line_is_a_row(self) -> bool:
        """Return whether the first line is a complete object, followed by others or with a question of its own."""
        text = self.head.lstrip(BLANK)
        line, _, rest = text.partition(b"\n")
        try:
            item = parse_line(line)
        except BadLineError:
            return False
        return bool(item is not None and (rest.strip(BLANK) or QUESTION_KEYS & item.keys()))

    def _delimited(self, encoding: str) -> Table | None:
        named = self.filename.endswith(DELIMITED_SUFFIXES)
        lines = self.head.split(b"\n")
        if not named and any(line.lstrip(BLANK).startswith(b"{") for line in lines):
            return None
        head, header_row = self.head.decode(errors="replace"), self.header_row or 1
        delimiter, notes = None, list[str]()
        titled = header_below_titles(head, is_header=is_known_header) if named and self.header_row is None else None
        if titled is not None:
            delimiter, header_row = titled
            notes.append(f"The column names were found in line {header_row:,}; the lines above it are not read.")
        elif header_row > 1:
            head = "".join(lines_of(head)[header_row - 1 :])
        delimiter = delimiter or delimiter_of(head, min_share=0 if named else UNIFORM_SHARE)
        if delimiter is None and not named:
            return None
        delimiter, stream_encoding = delimiter or ",", "utf-8"
        if encoding == "utf-8":
            encoding = stream_encoding = legacy_encoding(self._rewound())
            if encoding != "utf-8":
                notes.append(
                    f"The file is not UTF-8: it is read as {encoding}. Check its letters, or save it as UTF-8."
                )
        return Table(
            format=Format.TSV if delimiter == "\t" else Format.CSV,
            rows=delimited_rows(self._rewound(), encoding=stream_encoding, delimiter=delimiter, header_row=header_row),
            encoding=encoding,
            layout=Layout(header_row=header_row, notes=tuple(notes)),
        )


def _unsupported(name: str) -> AppError:
    return AppError(
        f"The file is {name}, which is not supported: upload JSONL, JSON, CSV, TSV, Excel (.xlsx) or Parquet, "
        "optionally compressed with gzip or in a ZIP.",
        code="other_format",
        param="file",
    )
