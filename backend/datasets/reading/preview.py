"""Preview of a file's first rows before anything is stored: the rule that fits, and each row before and after.

Runs in a child process, like the reading of stored files; the file is passed by its path.
"""

import base64
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from backend.datasets.formats.json_lines import RawRow
from backend.datasets.formats.problems import Problem, Report
from backend.datasets.reading.isolated import run_isolated
from backend.datasets.rows.images import ImageStore
from backend.datasets.rows.recognise import RULES
from backend.datasets.rows.rows import NormalRow, normal_rows
from backend.datasets.rows.shape import ColumnMapping
from backend.datasets.rows.source import Table, open_table
from backend.db.base import Json
from backend.errors import AppError

SHOWN_ROWS = 3
PREVIEWED_ROWS = 200
"""Rows that are read, so that problems near the beginning are reported."""
MAX_PROBLEMS = 20
CUT_CHARACTERS = 2000
"""Longer texts are cut here."""
MAX_IMAGES, MAX_IMAGE_BYTES = 4, 1024**2
"""Images of a row that are included, and the most bytes each may have."""
CONCURRENT_PREVIEWS = 2
WAIT_S, DEADLINE_S = 20.0, 60.0

_slots = threading.BoundedSemaphore(CONCURRENT_PREVIEWS)
"""Of this process, like the fork server of its children: they share its memory."""


def preview_of(file: BinaryIO, *, filename: str, mapping: ColumnMapping | None) -> Json:
    """Preview a seekable file.

    Returns `{format, shape, made_for, columns, read_from, looked_at, bad, rows, problems, notes, sheet, sheets,
    header_row, refused}`.

    Each of `rows` has `line`, `item` as written and `normal` as it would be read; `normal` is None where no rule fits,
    for the reason in `refused`. Raises AppError if the file contains no table.
    """
    with open_table(file, filename=filename, mapping=mapping) as table, ImageStore(table.archive) as image_store:
        first, unusable = _first(table)
        raw = [found for found in first if isinstance(found, RawRow)]
        report, refusal, rows = Report(counted_in=table.counted_in), unusable, list[NormalRow]()
        try:
            rows = list(normal_rows(_only(table, first), mapping=mapping, report=report, image_store=image_store))
        except AppError as error:
            refusal = _refusal(error)
        if not report.bad:  # if no rule fits, nothing was read; report unparsable rows nevertheless
            for found in first:
                if isinstance(found, Problem):
                    report.add(found)
        if not raw and not report.problems and refusal is None:
            report.require_rows(filename)
        normal = {id(row.item): row for row in rows}  # a line of JSON may hold many rows
        rule = next((rule for rule in RULES if rule.name == report.shape), None)
        shown = [row for row in raw if id(row.item) in normal][:SHOWN_ROWS] or raw[:SHOWN_ROWS]
        report_json: Json = report.to_json()
        return {
            "format": table.format,
            "shape": report.shape,
            "made_for": None if rule is None else rule.made_for,
            "columns": list(dict.fromkeys(name for row in raw for name in row.item)),
            "read_from": report.columns,
            "looked_at": len(first),
            "bad": report.bad,
            "rows": [_row_json(row, normal.get(id(row.item)), image_store) for row in shown],
            "problems": report_json["problems"][:MAX_PROBLEMS],
            "notes": report.notes,
            "sheet": None if table.layout is None else table.layout.sheet,
            "sheets": [] if table.layout is None else table.layout.sheets,
            "header_row": None if table.layout is None else table.layout.header_row,
            "refused": refusal,
        }


def preview_isolated(path: Path, *, filename: str, mapping: ColumnMapping | None) -> Json:
    """Run `preview_of` on the file at `path` in a process of its own. Raises AppError."""
    if not _slots.acquire(timeout=WAIT_S):
        raise AppError(
            "Too many files are being previewed: try again later.", status=503, code="busy", type="server_error"
        )
    try:
        preview: Json | None = run_isolated(
            partial(_preview_at, path, filename=filename, mapping=mapping),
            what_failed="The file could not be read",
            deadline_s=DEADLINE_S,
        )
    finally:
        _slots.release()
    if preview is None:
        raise AppError(
            "The file could not be read: it is damaged, or needs too much memory or time.",
            code="unreadable_file",
            param="file",
        )
    return preview


def _preview_at(path: Path, *, filename: str, mapping: ColumnMapping | None) -> Json:
    with path.open("rb") as file:
        return preview_of(file, filename=filename, mapping=mapping)


def _first(table: Table) -> tuple[list[RawRow | Problem], Json | None]:
    """Return the first rows, and why there are none where another sheet or line of the header can be chosen."""
    try:
        return list(islice(table.rows, PREVIEWED_ROWS)), None
    except AppError as error:
        if table.layout is None:
            raise
        return [], _refusal(error)


def _refusal(error: AppError) -> Json:
    return {"message": error.message, "code": error.code}


def _only(table: Table, first: list[RawRow | Problem]) -> Table:
    """Return the table with only these rows."""

    def rows() -> Iterator[RawRow | Problem]:
        yield from first

    return replace(table, rows=rows())


def _row_json(raw: RawRow, normal: NormalRow | None, image_store: ImageStore) -> Json:
    return {
        "line": raw.line,
        "item": _cut(raw.item),
        "normal": None if normal is None else _normal_json(normal, image_store),
    }


def _normal_json(row: NormalRow, image_store: ImageStore) -> Json:
    row_json = row.to_json()
    texts = {name: _cut(row_json[name]) for name in ("messages", "tools", "reference", "hint")}
    return texts | {"images": [_data_url(image_store.read(sha256)) for sha256 in row.images[:MAX_IMAGES]]}


def _data_url(encoded: bytes) -> str | None:
    """Encode an image as a data URL; None if it is large. The browser detects the actual format by its first bytes."""
    return None if len(encoded) > MAX_IMAGE_BYTES else f"data:image/png;base64,{base64.b64encode(encoded).decode()}"


def _cut(value: Any) -> Any:
    """Return the value with its long texts shortened."""
    if isinstance(value, str):
        return value if len(value) <= CUT_CHARACTERS else f"{value[:CUT_CHARACTERS]}…"
    if isinstance(value, Mapping):
        return {name: _cut(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(inner) for inner in value[:PREVIEWED_ROWS]]
    return value
