"""What an uploaded file is, told by its content, and its rows whatever that is. The name only decides where the content
leaves it open: whether text with one column is CSV.
"""

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import BinaryIO, Literal, cast

from backend.datasets.formats.archive import Archive, opened_zip, unpacked_gzip
from backend.datasets.formats.delimited import ALIKE, delimited_rows, delimiter_of
from backend.datasets.formats.json_lines import BadLineError, RawRow, json_lines, parsed
from backend.datasets.formats.json_lists import data_list, json_list
from backend.datasets.formats.problems import Problem
from backend.datasets.formats.text import Utf8Stream, marked_encoding, older_encoding
from backend.datasets.rows.recognise import RULES
from backend.errors import AppError
from backend.settings import settings

HEAD_BYTES = 256 * 1024
GZIP, ZIP, PARQUET = b"\x1f\x8b", b"PK", b"PAR1"
BLANK = b" \t\r\n"
BINARY = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Office document",
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
ASKING = {rule.question.partition(".")[0] for rule in RULES}
DELIMITED_SUFFIXES = (".csv", ".tsv", ".tab")


class Format(StrEnum):
    """How the rows are written, without how the file is packed."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    EXCEL = "xlsx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A file that is being read. `counted_in`: what `line` of a row means. `archive`: where paths of images lead.

    `file`: its bytes, unpacked, whose position says how far the rows have been read.
    """

    format: Format
    rows: Iterator[RawRow | Problem]
    encoding: str | None = "utf-8"
    packing: Literal["gzip", "zip"] | None = None
    archive: Archive | None = None
    file: BinaryIO | None = None

    @property
    def counted_in(self) -> Literal["line", "row"]:
        return "row" if self.format in (Format.PARQUET, Format.EXCEL) else "line"


@contextmanager
def opened(file: BinaryIO, *, filename: str = "") -> Iterator[Table]:
    """The table in a file that can be sought in. Raises AppError where there is none, or its packing is not honest."""
    max_bytes = settings().max_upload_bytes
    with ExitStack() as stack:
        packing: Literal["gzip", "zip"] | None = None
        archive = None
        file.seek(0)
        start = file.read(4)
        file.seek(0)
        if start.startswith(ZIP) and start[2:] in (b"\x03\x04", b"\x05\x06", b"\x07\x08"):
            packing, archive = "zip", opened_zip(file, max_bytes=max_bytes)
            stack.enter_context(archive.zip)
            if archive.is_workbook:
                from backend.datasets.formats.workbook import workbook_rows

                yield Table(format=Format.EXCEL, rows=workbook_rows(file), encoding=None, file=file)
                return
            filename = archive.table
            file = stack.enter_context(archive.open_table(max_bytes=max_bytes))
            start = file.read(4)
            file.seek(0)
        if start.startswith(GZIP):
            packing = packing or "gzip"
            file = stack.enter_context(unpacked_gzip(file, max_bytes=max_bytes))
            filename = filename.removesuffix(".gz")
        table = _table(file, filename=filename, packing=packing, archive=archive, max_bytes=max_bytes)
        yield replace(table, file=file)


def _table(
    file: BinaryIO, *, filename: str, packing: Literal["gzip", "zip"] | None, archive: Archive | None, max_bytes: int
) -> Table:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith(PARQUET):
        from backend.datasets.formats.parquet import parquet_rows  # pyarrow takes 60 MB, which no other format needs

        rows = parquet_rows(file, max_bytes=max_bytes)
        return Table(format=Format.PARQUET, rows=rows, encoding=None, packing=packing, archive=archive)
    if head.startswith((GZIP, b"PK\x03\x04")):
        raise _other_format("an archive within an archive")
    for magic, name in BINARY.items():
        if head.startswith(magic):
            raise _other_format(name)
    encoding, begin = marked_encoding(head)
    if encoding != "utf-8":
        file, begin = (
            cast("BinaryIO", io.BufferedReader(Utf8Stream(file, encoding=encoding, start=begin), HEAD_BYTES)),
            0,
        )
    text = _Text(file, begin=begin, filename=filename.lower())
    return replace(text.table(encoding), packing=packing, archive=archive)


class _Text:
    """Text in UTF-8, or in bytes of which that is not known yet, from `begin` on: JSON of two kinds, or a CSV table."""

    def __init__(self, file: BinaryIO, *, begin: int, filename: str) -> None:
        self.file = file
        self.begin = begin
        self.filename = filename
        self.head = self._again().read(HEAD_BYTES)

    def table(self, encoding: str) -> Table:
        opening = self.head.lstrip(BLANK)[:1]
        if opening == b"[":
            start = self.head.index(b"[") + 1
            return Table(format=Format.JSON, rows=json_list(self._again(), start=start), encoding=encoding)
        if opening == b"{":
            start_or_none = None if self._first_line_is_a_row() else data_list(self.head)
            if start_or_none is not None:
                return Table(format=Format.JSON, rows=json_list(self._again(), start=start_or_none), encoding=encoding)
        elif opening and (delimited := self._delimited(encoding)):
            return delimited
        return Table(format=Format.JSONL, rows=json_lines(self._again()), encoding=encoding)

    def _again(self) -> BinaryIO:
        self.file.seek(self.begin)
        return self.file

    def _first_line_is_a_row(self) -> bool:
        """Whether the first line is whole by itself, and is one of several, or asks something."""
        text = self.head.lstrip(BLANK)
        line, _, rest = text.partition(b"\n")
        try:
            item = parsed(line)
        except BadLineError:
            return False
        return bool(item is not None and (rest.strip(BLANK) or ASKING & item.keys()))

    def _delimited(self, encoding: str) -> Table | None:
        named = self.filename.endswith(DELIMITED_SUFFIXES)
        lines = self.head.split(b"\n")
        if not named and any(line.lstrip(BLANK).startswith(b"{") for line in lines):
            return None
        delimiter = delimiter_of(self.head.decode(errors="replace"), least=0 if named else ALIKE)
        if delimiter is None and not named:
            return None
        delimiter, written = delimiter or ",", "utf-8"
        if encoding == "utf-8":
            encoding = written = older_encoding(self._again())
        rows = delimited_rows(self._again(), encoding=written, delimiter=delimiter)
        return Table(format=Format.TSV if delimiter == "\t" else Format.CSV, rows=rows, encoding=encoding)


def _other_format(name: str) -> AppError:
    return AppError(
        f"The file is {name}: send JSONL, JSON, CSV, TSV, Excel (.xlsx) or Parquet, packed with gzip or in a ZIP if "
        "you like.",
        code="other_format",
        param="file",
    )
