"""Parquet reader: rows in small batches, so that a row group is never in memory as Python objects.

Numbers, strings, lists and structs map to JSON. Types that JSON lacks are converted: bytes to base64, times to
ISO 8601, durations to seconds, decimals to numbers. NaN makes a bad row; null is fine.
"""

import base64
import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from backend.datasets.formats.json_lines import BadLineError, RawRow, raw_row
from backend.datasets.formats.layout import MAX_COLUMNS
from backend.datasets.formats.problems import Problem
from backend.errors import AppError

MAX_ROWS = 10_000_000
BATCH_ROWS = 256
BATCH_BYTES = 64 * 1024 * 1024
"""The rows of a batch stay below this even if each were as large as its row group."""
MAX_ITEM_BYTES = 32 * 1024 * 1024

pa.set_memory_pool(pa.system_memory_pool())  # the other pools reserve gigabytes, beyond the memory limit of a reader


def parquet_rows(file: BinaryIO, *, max_bytes: int) -> Iterator[RawRow | Problem]:
    """Read the rows, which may unpack to `max_bytes` in all. Raises AppError if it is not a table or is too large."""
    try:
        table = pq.ParquetFile(file, memory_map=False, pre_buffer=False)
        batch_rows = _checked(table, max_bytes=max_bytes)
        unpacked = first = 0
        for batch in table.iter_batches(batch_size=batch_rows, use_threads=False):
            unpacked += batch.nbytes
            if unpacked > max_bytes:
                raise _too_large(max_bytes)
            for number in range(batch.num_rows):
                yield _row(batch.slice(number, 1), line=first + number + 1)
            first += batch.num_rows
    except MemoryError:
        raise AppError(
            "The Parquet table cannot be read: it needs more memory than the reader may use (RLSD_READER_MEMORY_BYTES, "
            "set by the administrator). Split the table, or shorten its longest values.",
            status=413,
            code="too_much_memory",
            param="file",
        ) from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AppError(f"The Parquet table cannot be read: {reason}.", code="invalid_parquet", param="file") from None


def _checked(table: pq.ParquetFile, *, max_bytes: int) -> int:
    """Check the limits and return the batch size in rows."""
    metadata = table.metadata
    names = table.schema_arrow.names
    if metadata.num_columns > MAX_COLUMNS:
        raise AppError(
            f"The table has {metadata.num_columns:,} columns; the limit is {MAX_COLUMNS:,}.",
            code="too_many_columns",
            param="file",
        )
    if len(set(names)) < len(names):
        raise AppError("The table has two columns of the same name.", code="invalid_header", param="file")
    if metadata.num_rows > MAX_ROWS:
        raise AppError(
            f"The table has {metadata.num_rows:,} rows; the limit is {MAX_ROWS:,}.", code="too_many_rows", param="file"
        )
    sizes = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
    if sum(sizes) > max_bytes:
        raise _too_large(max_bytes)
    largest: int = max(1, *sizes, 1)
    return max(1, min(BATCH_ROWS, BATCH_BYTES // largest))


def _row(row: pa.RecordBatch, *, line: int) -> RawRow | Problem:
    try:
        if row.nbytes > MAX_ITEM_BYTES:
            raise BadLineError("line_too_long", f"is longer than {MAX_ITEM_BYTES // 1024**2} MiB")
        try:
            (item,) = row.to_pylist()
        except UnicodeDecodeError:
            raise BadLineError("invalid_utf8", "contains text that is not UTF-8") from None
        return raw_row({name: _json_value(value) for name, value in item.items()}, line=line)
    except BadLineError as error:
        return Problem(line=line, code=error.code, message=str(error))


def _json_value(value: Any) -> Any:
    """Convert a value to its JSON form."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadLineError("invalid_number", f"contains {value}, which JSON does not allow: use null for no value")
        return value
    if isinstance(value, dict):
        return {name: _json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, UUID):
        return str(value)
    raise BadLineError("unknown_type", f"contains a value of type {type(value).__name__}, which has no JSON form")


def _too_large(max_bytes: int) -> AppError:
    return AppError(
        f"The table unpacks to more than {max_bytes} bytes: split it into smaller files.",
        status=413,
        code="file_too_large",
        param="file",
    )
