"""A file and its rows into the database and out again, each in the caller's one transaction: whole or not at all."""

import json
from collections.abc import Iterator
from typing import BinaryIO

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.report import Report
from backend.datasets.rows import normal_rows
from backend.datasets.shapes import ColumnMapping
from backend.db.base import utc_now
from backend.db.files import File
from backend.db.jobs import Job
from backend.errors import AppError, not_found
from backend.ids import new_id

COPY = "COPY dataset_rows (file_id, number, line, row_hash, normal) FROM STDIN"


def store_dataset(session: Session, file: BinaryIO, *, filename: str, mapping: ColumnMapping | None) -> File:
    """Keep the bytes and the rows read from them. Raises AppError, naming the line, and then keeps nothing."""
    blob = blobs.put(session, _pieces(file))
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
    )
    session.add(stored)
    session.flush()
    file.seek(0)
    report = _copy_rows(session, file, file_id=stored.id, mapping=mapping)
    report.refuse_bad(filename)
    session.execute(
        update(File)
        .where(File.id == stored.id)
        .values(shape=report.shape, row_count=report.good, report=report.to_json())
        .execution_options(synchronize_session=False)
    )
    session.refresh(stored)
    return stored


def delete_file(session: Session, file_id: str) -> None:
    """Raises AppError: 404 where there is none, 409 where a job was made from it."""
    file = session.get(File, file_id, with_for_update=True)
    if file is None:
        raise not_found("file", file_id)
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
    session.delete(file)
    session.flush()
    blobs.drop_unused(session, file.sha256)


def _copy_rows(session: Session, file: BinaryIO, *, file_id: str, mapping: ColumnMapping | None) -> Report:
    """Stream the rows in by COPY: a hundred thousand of them are one statement and one row in memory."""
    report = Report()
    driver = session.connection().connection.cursor()
    with driver.copy(COPY) as copy:
        for row in normal_rows(file, mapping=mapping, report=report):
            if not report.bad:
                normal = json.dumps(row.to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
                copy.write_row((file_id, row.number, row.line, row.row_hash, normal))
    return report


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(blobs.CHUNK_BYTES):
        yield piece
