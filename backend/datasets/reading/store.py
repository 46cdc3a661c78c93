"""A file and its rows into the database and out again, each in the caller's one transaction: whole or not at all."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import BinaryIO

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.analysis.findings import Findings
from backend.datasets.analysis.overlap import repeated_rows
from backend.datasets.formats.problems import Report
from backend.datasets.rows.images import ImageStore
from backend.datasets.rows.recognise import ColumnMapping
from backend.datasets.rows.rows import NormalRow, normal_rows
from backend.datasets.rows.source import Table, opened
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.files import ROWS_TOGETHER, DatasetRow, File, FileImage, FileStatus
from backend.db.jobs import Job
from backend.errors import AppError, not_found
from backend.ids import new_id

TELL_S = 1.0
Progress = Callable[[int, int, int], None]
"""Told (bytes read, bytes in all, rows read); the bytes are of the table, unpacked."""
COPY = "COPY dataset_rows (file_id, number, line, row_hash, normal) FROM STDIN"


class OnBadRows(StrEnum):
    """What to do with a file of which some rows cannot be used."""

    REJECT = "reject"
    """Refuse the file."""
    TAKE_GOOD = "take_good"
    """Keep the other rows; the report says which were left out."""


def store_dataset(
    session: Session,
    file: BinaryIO,
    *,
    filename: str,
    mapping: ColumnMapping | None,
    on_bad_rows: OnBadRows = OnBadRows.REJECT,
) -> File:
    """Keep the bytes, the rows read from them and their images. Raises AppError, naming the line, and keeps nothing."""
    stored = store_bytes(session, file, filename=filename, mapping=mapping)
    take_rows(session, stored, file, on_bad_rows=on_bad_rows)
    return stored


def store_bytes(session: Session, file: BinaryIO, *, filename: str, mapping: ColumnMapping | None) -> File:
    """A file of which no rows are known yet."""
    return store_pieces(session, _pieces(file), filename=filename, mapping=mapping)


def store_pieces(session: Session, pieces: Iterable[bytes], *, filename: str, mapping: ColumnMapping | None) -> File:
    """The same of bytes that come in pieces."""
    blob = blobs.put(session, pieces)
    stored = File(
        id=new_id("file"),
        filename=filename,
        purpose="fine-tune",
        size_bytes=blob.size_bytes,
        sha256=blob.sha256,
        created_at=utc_now(),
        shape=None,
        mapping=None if mapping is None else mapping.model_dump(exclude_none=True),
        row_count=0,
        report={},
        status=FileStatus.UPLOADED,
    )
    session.add(stored)
    session.flush()
    return stored


def take_rows(
    session: Session, file: File, content: BinaryIO, *, on_bad_rows: OnBadRows, tell: Progress | None = None
) -> None:
    """Read the rows of a stored file, and the images they show, from its bytes.

    Raises AppError, naming the line, where the file cannot be used; what the transaction has written by then is void.
    """
    mapping = None if file.mapping is None else ColumnMapping.model_validate(file.mapping)
    with opened(content, filename=file.filename) as table, ImageStore(table.archive) as pictures:
        report = Report(counted_in=table.counted_in)
        good = normal_rows(table, mapping=mapping, report=report, pictures=pictures)
        rows = good if tell is None else _followed(good, table, tell)
        _copy_rows(session, rows, file_id=file.id, report=report, on_bad_rows=on_bad_rows)
        if on_bad_rows == OnBadRows.REJECT:
            report.refuse_bad(file.filename)
        report.refuse_empty(file.filename)
        report.about |= {
            "format": table.format,
            "packing": table.packing,
            "encoding": table.encoding,
            "on_bad_rows": on_bad_rows,
            "images": {"files": len(pictures), "bytes": pictures.size_bytes},
            "duplicates": repeated_rows(session, file.id),
        }
        blobs.put_images(session, pictures.in_order(), file_id=file.id)
    file.shape, file.row_count, file.report = report.shape, report.good, report.to_json()
    file.status, file.status_details, file.progress = FileStatus.PROCESSED, None, None
    session.flush()


def processed_file(session: Session, file_id: str) -> File:
    """A file whose rows can be used. Raises AppError: 404 where there is none, 409 where it was not read."""
    file = None if "\0" in file_id else session.get(File, file_id)
    if file is None:
        raise not_found("file", file_id)
    return require_processed(file)


def require_processed(file: File, *, param: str = "file") -> File:
    """The same file. Raises AppError 409 where its rows cannot be used, or not yet; `param` is what named it."""
    if file.status == FileStatus.PROCESSED:
        return file
    why = "is still being read: try again when its status is 'processed'"
    if file.status == FileStatus.ERROR:
        why = f"could not be read: {file.status_details or 'upload it again'}".rstrip(".")
    raise AppError(
        f"File '{file.id}' {why}.", status=409, code="file_not_processed", param=param, type="conflict_error"
    )


def exported_lines(file: File) -> Iterator[bytes]:
    """The original rows as JSONL, in order, few in memory at a time.

    These few come in a transaction of their own: whoever reads slowly holds no connection meanwhile, and rows do not
    change. Raises AppError 404 where the file was deleted before its last row.
    """
    for first in range(0, file.row_count, ROWS_TOGETHER):
        last = min(first + ROWS_TOGETHER, file.row_count) - 1
        with transaction() as session:
            items = session.scalars(
                select(DatasetRow.normal["item"])
                .where(DatasetRow.file_id == file.id, DatasetRow.number.between(first, last))
                .order_by(DatasetRow.number)
            ).all()
        if len(items) <= last - first:
            raise not_found("file", file.id)
        yield b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in items)


def delete_file(session: Session, file_id: str) -> None:
    """Raises AppError: 404 where there is none, 409 where a job was made from it or it is being read."""
    file = session.get(File, file_id)
    if file is None:
        raise not_found("file", file_id)
    if file.status == FileStatus.UPLOADED:  # its reader holds a lock on it, for minutes it may be
        require_processed(file)
    session.refresh(file, with_for_update=True)
    user = session.scalar(
        select(Job.id).where(or_(Job.training_file == file_id, Job.validation_file == file_id)).limit(1)
    )
    if user is not None:
        raise AppError(
            f"File '{file_id}' is the data of job '{user}' and cannot be deleted.",
            status=409,
            code="file_in_use",
            type="conflict_error",
        )
    discard(session, file_id)


def discard(session: Session, file_id: str) -> None:
    """The file with its rows, and what of its bytes and images no other has; one that is gone already is no error."""
    file = session.get(File, file_id, with_for_update=True)
    if file is None:
        return
    images = session.scalars(select(FileImage.sha256).where(FileImage.file_id == file_id)).all()
    session.delete(file)
    session.flush()
    blobs.drop_unused(session, file.sha256)
    blobs.drop_unused_images(session, images)


def _copy_rows(
    session: Session, rows: Iterable[NormalRow], *, file_id: str, report: Report, on_bad_rows: OnBadRows
) -> None:
    """Stream the rows in by COPY: a hundred thousand of them are one statement and one row in memory."""
    findings = Findings(report)
    driver = session.connection().connection.cursor()
    with driver.copy(COPY) as copy:
        for row in rows:
            if not report.bad or on_bad_rows == OnBadRows.TAKE_GOOD:
                normal = json.dumps(row.to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
                copy.write_row((file_id, row.number, row.line, row.row_hash, normal))
                findings.see(row)
    findings.finish()


def _followed(rows: Iterable[NormalRow], table: Table, tell: Progress) -> Iterator[NormalRow]:
    """The same rows; about once a second it is told how far they have been read."""
    assert table.file is not None
    told = time.monotonic()
    for number, row in enumerate(rows, start=1):
        yield row
        if time.monotonic() - told >= TELL_S:
            told = time.monotonic()
            tell(table.file.tell(), os.fstat(table.file.fileno()).st_size, number)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(blobs.CHUNK_BYTES):
        yield piece
