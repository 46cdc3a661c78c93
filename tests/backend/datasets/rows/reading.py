"""Rows of a few lines, read as from a file."""

import io
import json
from typing import Any

from backend.datasets.formats.problems import Report
from backend.datasets.rows.images import ImageStore
from backend.datasets.rows.rows import NormalRow, normal_rows
from backend.datasets.rows.shape import ColumnMapping
from backend.datasets.rows.source import open_table

QUESTION = [{"role": "user", "content": "Why?"}]
REPLY = {"role": "assistant", "content": "So."}


def lines(*items: Any) -> io.BytesIO:
    return io.BytesIO(b"".join(json.dumps(item).encode() + b"\n" for item in items))


def read_all(file: io.BytesIO, mapping: ColumnMapping | None = None) -> tuple[list[NormalRow], Report]:
    with open_table(file) as table, ImageStore(table.archive) as image_store:
        report = Report(counted_in=table.counted_in)
        return list(normal_rows(table, mapping=mapping, report=report, image_store=image_store)), report


def read_one(item: dict[str, Any], mapping: ColumnMapping | None = None) -> tuple[NormalRow, Report]:
    (row,), report = read_all(lines(item), mapping)
    return row, report
