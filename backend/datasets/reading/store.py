"""Storage of files and their rows in the database. Each operation is atomic within the caller's transaction."""

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
from backend.datasets.rows.rows import NormalRow, normal_rows
from backend.datasets.rows.shape import ColumnMapping
from backend.datasets.rows.source import Table, open_table
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.files import ROWS_TOGETHER, DatasetRow, File, FileImage, FileStatus
from backend.db.jobs import Job
from backend.db.projects import find_owned
from backend.errors import AppError, not_found
from backend.ids import new_id

PROGRESS_S = 1.0
"""Seconds between two reports of progress."""
Progress = Callable[[int, int, int], None]
"""Called with (bytes read, bytes in all, rows read); the bytes are those of the unpacked table."""
COPY = "COPY dataset_rows (file_id, number, line, row_hash, normal) FROM STDIN"


class OnBadRows(StrEnum):
    """What to do with a file that has unusable rows."""

    REJECT = "reject"
    """Refuse the file."""
    TAKE_GOOD = "take_good"
    """Keep the usable rows; the report lists those that were left out."""


def store_dataset(
    session: Session,
    file: BinaryIO,
    *,
    project: str,
    filename: str,
    mapping: ColumnMapping | None,
    on_bad_rows: OnBadRows = OnBadRows.REJECT,
) -> File:
    """Store the bytes, the rows read from them and their images. Raises AppError naming the bad line."""
    stored = store_bytes(session, file, project=project, filename=filename, mapping=mapping)
    store_rows(session, stored, file, on_bad_rows=on_bad_rows)
    return stored


def store_bytes(
    session: Session, file: BinaryIO, *, project: str, filename: str, mapping: ColumnMapping | None
) -> File:
    """Store a file of the project without reading its rows."""
    return store_pieces(session, _pieces(file), project=project, filename=filename, mapping=mapping)


def store_pieces(
    session: Session, pieces: Iterable[bytes], *, project: str, filename: str, mapping: ColumnMapping | None
) -> File:
    """Store a file of the project from an iterable of pieces."""
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
        project_id=project,
    )
    session.add(stored)
    session.flush()
    return stored


def store_rows(
    session: Session, file: File, content: BinaryIO, *, on_bad_rows: OnBadRows, report_progress: Progress | None = None
) -> None:
    """Read the rows of a stored file and their images from its bytes, and store them.

    Raises AppError naming the bad line if the file cannot be used; the caller's transaction must then be rolled back.
    """
    mapping = None if file.mapping is None else ColumnMapping.model_validate(file.mapping)
    with (
        open_table(content, filename=file.filename, mapping=mapping) as table,
        ImageStore(table.archive) as image_store,
    ):
        report = Report(counted_in=table.counted_in)
        good = normal_rows(table, mapping=mapping, report=report, image_store=image_store)
        rows = good if report_progress is None else _with_progress(good, table, report_progress)
        _copy_rows(session, rows, file_id=file.id, report=report, on_bad_rows=on_bad_rows)
        if on_bad_rows == OnBadRows.REJECT:
            report.require_all_good(file.filename)
        report.require_rows(file.filename)
        report.details |= {
            "format": table.format,
            "packing": table.packing,
            "encoding": table.encoding,
            "sheet": None if table.layout is None else table.layout.sheet,
            "header_row": None if table.layout is None else table.layout.header_row,
            "on_bad_rows": on_bad_rows,
            "images": {"files": len(image_store), "bytes": image_store.size_bytes},
            "duplicates": repeated_rows(session, file),
        }
        blobs.put_images(session, image_store.in_order(), file_id=file.id)
    file.shape, file.row_count, file.report = report.shape, report.good, report.to_json()
    file.status, file.status_details, file.progress = FileStatus.PROCESSED, None, None
    session.flush()


def processed_file(session: Session, file_id: str, *, project: str) -> File:
    """Return the project's file if it has been read. Raises AppError: 404 if there is none, 409 if it was not read."""
    file = find_owned(session, File, file_id, project=project)
    if file is None:
        raise not_found("file", file_id)
    return require_processed(file)


def require_processed(file: File, *, param: str = "file") -> File:
    """Return the file. Raises AppError 409 if its rows cannot be used (yet); `param` is the parameter that named it."""
    if file.status == FileStatus.PROCESSED:
        return file
    problem = "is still being read: try again when its status is 'processed'"
    if file.status == FileStatus.ERROR:
        problem = f"could not be read: {file.status_details or 'upload it again'}".rstrip(".")
    raise AppError(
        f"File '{file.id}' {problem}.", status=409, code="file_not_processed", param=param, type="conflict_error"
    )


def exported_lines(file: File) -> Iterator[bytes]:
    """Yield the original rows as JSONL, in order, a few in memory at a time.

    Each batch is read in a transaction of its own, so that a slow client holds no connection; rows never change.
    Raises AppError 404 if the file is deleted before its last row was read.
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


def delete_file(session: Session, file: File) -> None:
    """Delete a file. Raises AppError 409 if a job uses it or it is being read."""
    if file.status == FileStatus.UPLOADED:  # its reader may hold a lock on it for minutes
        require_processed(file)
    session.refresh(file, with_for_update=True)
    job_id = session.scalar(
        select(Job.id).where(or_(Job.training_file == file.id, Job.validation_file == file.id)).limit(1)
    )
    if job_id is not None:
        raise AppError(
            f"File '{file.id}' is used by job '{job_id}' and cannot be deleted.",
            status=409,
            code="file_in_use",
            type="conflict_error",
        )
    discard(session, file.id)


def discard(session: Session, file_id: str) -> None:
    """Delete a file, its rows, and its bytes and images that no other file uses. A missing file is no error."""
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
    """Insert the rows by COPY: one statement, with one row in memory at a time.

    A refusal is raised after the statement: raised within it, it would be sent to the database, and be in its log.
    """
    findings, refusal = Findings(report), None
    driver = session.connection().connection.cursor()
    with driver.copy(COPY) as copy:
        try:
            for row in rows:
                if not report.bad or on_bad_rows == OnBadRows.TAKE_GOOD:
                    normal = json.dumps(row.to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
                    copy.write_row((file_id, row.number, row.line, row.row_hash, normal))
                    findings.add(row)
        except AppError as error:
            refusal = error
    if refusal is not None:
        raise refusal
    findings.finish()


def _with_progress(rows: Iterable[NormalRow], table: Table, report_progress: Progress) -> Iterator[NormalRow]:
    """Yield the rows and report progress about once a second."""
    assert table.file is not None
    last_report = time.monotonic()
    for number, row in enumerate(rows, start=1):
        yield row
        if time.monotonic() - last_report >= PROGRESS_S:
            last_report = time.monotonic()
            report_progress(table.file.tell(), os.fstat(table.file.fileno()).st_size, number)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(blobs.CHUNK_BYTES):
        yield piece
