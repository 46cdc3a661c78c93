"""Parquet: rows read some at a time, so that a row group is never in memory as Python objects.

Numbers, texts, lists and structs stay what they are. What JSON lacks is written as it usually is: bytes in base64,
times in ISO 8601, durations in seconds, decimals as numbers. NaN is not JSON and makes a bad row; null is fine.
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

from backend.datasets.formats.delimited import MAX_COLUMNS
from backend.datasets.formats.json_lines import BadLineError, RawRow, raw_row
from backend.datasets.formats.problems import Problem
from backend.errors import AppError

MAX_ROWS = 10_000_000
BATCH_ROWS = 256
BATCH_BYTES = 64 * 1024 * 1024
"""A batch has at most so many rows that they cannot be larger than this, were all as large as their row group."""
MAX_ITEM_BYTES = 32 * 1024 * 1024

pa.set_memory_pool(pa.system_memory_pool())  # the others reserve gigabytes, which a reader with a limit does not have


def parquet_rows(file: BinaryIO, *, max_bytes: int) -> Iterator[RawRow | Problem]:
    """`max_bytes`: the most that all rows may unpack to. Raises AppError where it is no table, or too large."""
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
            "The Parquet table cannot be read: its values take more memory than a reader has (the administrator's "
            "RLSD_READER_MEMORY_BYTES). Split it, or its longest values.",
            status=413,
            code="too_much_memory",
            param="file",
        ) from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AppError(f"The Parquet table cannot be read: {reason}.", code="invalid_parquet", param="file") from None


def _checked(table: pq.ParquetFile, *, max_bytes: int) -> int:
    """How many rows to read at a time."""
    about = table.metadata
    names = table.schema_arrow.names
    if about.num_columns > MAX_COLUMNS:
        raise AppError(
            f"The table has {about.num_columns:,} columns; {MAX_COLUMNS:,} are the most.",
            code="too_many_columns",
            param="file",
        )
    if len(set(names)) < len(names):
        raise AppError("The table has two columns of one name.", code="invalid_header", param="file")
    if about.num_rows > MAX_ROWS:
        raise AppError(
            f"The table has {about.num_rows:,} rows; {MAX_ROWS:,} are the most.", code="too_many_rows", param="file"
        )
    sizes = [about.row_group(number).total_byte_size for number in range(about.num_row_groups)]
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
            raise BadLineError("invalid_utf8", "holds text that is not UTF-8") from None
        return raw_row({name: _plain(value) for name, value in item.items()}, line=line)
    except BadLineError as error:
        return Problem(line=line, code=error.code, message=str(error))


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadLineError("invalid_number", f"holds {value}, which JSON does not have: store null for no value")
        return value
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
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
    raise BadLineError("unknown_type", f"holds a value of the type {type(value).__name__}, which has no form in JSON")


def _too_large(max_bytes: int) -> AppError:
    return AppError(
        f"The table unpacks to more than {max_bytes} bytes: split it.",
        status=413,
        code="file_too_large",
        param="file",
    )
