"""The first rows of a file as they would be read, before anything is stored: the rule that fits, before and after.

Read in a child process, as stored files are (`reading`); the file reaches it by its path.
"""

import base64
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from backend.datasets.formats.json_lines import RawRow
from backend.datasets.formats.problems import Problem, Report
from backend.datasets.reading.isolated import answered_apart
from backend.datasets.rows.images import ImageStore
from backend.datasets.rows.recognise import RULES, ColumnMapping
from backend.datasets.rows.rows import NormalRow, normal_rows
from backend.datasets.rows.source import Table, opened
from backend.db.base import Json
from backend.errors import AppError

SHOWN_ROWS = 3
LOOKED_AT = 200
"""Rows that are read, so that a fault near the beginning is told."""
MOST_PROBLEMS = 20
CUT_CHARACTERS = 2000
"""A longer text is shown from its beginning."""
MOST_PICTURES, MOST_PICTURE_BYTES = 4, 1024**2
"""Images of a row that are sent along, of at most so many bytes each."""
AT_A_TIME = 2
WAIT_S, DEADLINE_S = 20.0, 60.0

_places = threading.BoundedSemaphore(AT_A_TIME)


def preview_of(file: BinaryIO, *, filename: str, mapping: ColumnMapping | None) -> Json:
    """`{format, shape, made_for, columns, read_from, rows, problems, refused}` of a file that can be sought in.

    `rows` hold `line`, `item` as it was written and `normal` as it would be read, None where no rule fits: `refused`
    says why. Raises AppError where the file holds no table.
    """
    with opened(file, filename=filename) as table, ImageStore(table.archive) as pictures:
        first: list[RawRow | Problem] = list(islice(table.rows, LOOKED_AT))
        raw = [found for found in first if isinstance(found, RawRow)]
        report, refusal, read = Report(counted_in=table.counted_in), None, list[NormalRow]()
        try:
            read = list(normal_rows(_again(table, first), mapping=mapping, report=report, pictures=pictures))
        except AppError as error:
            refusal = {"message": error.message, "code": error.code}
        if not report.bad:  # no rule fits, so that nothing was read: what is no row at all is told nevertheless
            for found in first:
                if isinstance(found, Problem):
                    report.add(found)
        if not raw and not report.problems and refusal is None:
            report.refuse_empty(filename)
        normal = {id(row.item): row for row in read}  # a line of JSON may hold many rows
        rule = next((rule for rule in RULES if rule.name == report.shape), None)
        shown = [row for row in raw if id(row.item) in normal][:SHOWN_ROWS] or raw[:SHOWN_ROWS]
        told: Json = report.to_json()
        return {
            "format": table.format,
            "shape": report.shape,
            "made_for": None if rule is None else rule.made_for,
            "columns": list(dict.fromkeys(name for row in raw for name in row.item)),
            "read_from": report.columns,
            "looked_at": len(first),
            "bad": report.bad,
            "rows": [_shown(row, normal.get(id(row.item)), pictures) for row in shown],
            "problems": told["problems"][:MOST_PROBLEMS],
            "refused": refusal,
        }


def preview_apart(path: Path, *, filename: str, mapping: ColumnMapping | None) -> Json:
    """`preview_of` the file at `path`, in a process of its own. Raises AppError."""
    if not _places.acquire(timeout=WAIT_S):
        raise AppError("Too many files are looked at: try again.", status=503, code="busy", type="server_error")
    try:
        shown: Json | None = answered_apart(
            partial(_preview_at, path, filename=filename, mapping=mapping),
            what_failed="The file could not be read",
            deadline_s=DEADLINE_S,
        )
    finally:
        _places.release()
    if shown is None:
        raise AppError(
            "The file could not be read: it is damaged, or takes too much memory or time.",
            code="unreadable_file",
            param="file",
        )
    return shown


def _preview_at(path: Path, *, filename: str, mapping: ColumnMapping | None) -> Json:
    with path.open("rb") as file:
        return preview_of(file, filename=filename, mapping=mapping)


def _again(table: Table, first: list[RawRow | Problem]) -> Table:
    """The table with these rows alone."""

    def rows() -> Iterator[RawRow | Problem]:
        yield from first

    return Table(format=table.format, rows=rows(), archive=table.archive)


def _shown(raw: RawRow, normal: NormalRow | None, pictures: ImageStore) -> Json:
    return {
        "line": raw.line,
        "item": _cut(raw.item),
        "normal": None if normal is None else _normal(normal, pictures),
    }


def _normal(row: NormalRow, pictures: ImageStore) -> Json:
    told = row.to_json()
    shown = {name: _cut(told[name]) for name in ("messages", "reference", "hint")}
    return shown | {"images": [_data_url(pictures.read(sha256)) for sha256 in row.images[:MOST_PICTURES]]}


def _data_url(encoded: bytes) -> str | None:
    """None where it is large. The browser tells what kind of image it is by its first bytes."""
    return None if len(encoded) > MOST_PICTURE_BYTES else f"data:image/png;base64,{base64.b64encode(encoded).decode()}"


def _cut(value: Any) -> Any:
    """The value with its long texts shortened."""
    if isinstance(value, str):
        return value if len(value) <= CUT_CHARACTERS else f"{value[:CUT_CHARACTERS]}…"
    if isinstance(value, Mapping):
        return {name: _cut(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(inner) for inner in value[:LOOKED_AT]]
    return value
