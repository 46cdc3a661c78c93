"""Parquet reader: rows in small batches, so that a row group is never in memory as Python objects.

Numbers, strings, lists and structs map to JSON; a `float32` is the shortest number that it stands for (0.1). Types that
JSON lacks are converted: bytes to base64, times to ISO 8601, durations to seconds, decimals with a scale to text with
all their digits. NaN makes a bad row; null is fine.
"""

import base64
import math
import struct
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


def columns_of_bytes(file: BinaryIO) -> tuple[str, ...]:
    """Return the columns that hold bytes, which are read as base64; none of a table that cannot be read."""
    try:
        schema = pq.read_schema(file, memory_map=False)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError):
        return ()
    finally:
        file.seek(0)
    return tuple(field.name for field in schema if _holds_bytes(field.type))


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
        kinds = dict(zip(row.schema.names, row.schema.types, strict=True))
        return raw_row({name: _json_value(value, kinds[name]) for name, value in item.items()}, line=line)
    except BadLineError as error:
        return Problem(line=line, code=error.code, message=str(error))


def _json_value(value: Any, kind: pa.DataType) -> Any:
    """Convert a value of a type to its JSON form."""
    kind = _stored(kind)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadLineError("invalid_number", f"contains {value}, which JSON does not allow: use null for no value")
        return _shortest(value, kind)
    if isinstance(value, dict):
        return {name: _json_value(inner, kind.field(name).type) for name, inner in value.items()}
    if isinstance(value, list) and pa.types.is_map(kind):
        return [[_json_value(key, kind.key_type), _json_value(inner, kind.item_type)] for key, inner in value]
    if isinstance(value, list):
        return [_json_value(inner, kind.value_type) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return f"{value:f}" if kind.scale > 0 else int(value)
    if isinstance(value, UUID):
        return str(value)
    raise BadLineError("unknown_type", f"contains a value of type {type(value).__name__}, which has no JSON form")


def _stored(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a dictionary or an extension, and others unchanged."""
    if isinstance(kind, pa.DictionaryType):
        return kind.value_type
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _shortest(value: float, kind: pa.DataType) -> float:
    """Return the number of fewest digits that a narrow float stands for."""
    form = "f" if pa.types.is_float32(kind) else "e" if pa.types.is_float16(kind) else None
    if form is None:
        return value
    stored = struct.pack(form, value)
    numbers = (float(f"{value:.{digits}g}") for digits in range(1, 10))
    return next((number for number in numbers if _packed(form, number) == stored), value)


def _packed(form: str, number: float) -> bytes | None:
    try:
        return struct.pack(form, number)
    except OverflowError:  # rounded up beyond the largest
        return None


def _holds_bytes(kind: pa.DataType) -> bool:
    kind = _stored(kind)
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return is_binary or any(map(_holds_bytes, inner))


def _too_large(max_bytes: int) -> AppError:
    return AppError(
        f"The table unpacks to more than {max_bytes} bytes: split it into smaller files.",
        status=413,
        code="file_too_large",
        param="file",
    )
