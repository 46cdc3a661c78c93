"""A file and its rows into the database and out again, each in the caller's one transaction: whole or not at all."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import BinaryIO

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.findings import Findings
from backend.datasets.overlap import repeated_rows
from backend.datasets.pictures import Pictures
from backend.datasets.report import Report
from backend.datasets.rows import normal_rows
from backend.datasets.shapes import ColumnMapping
from backend.datasets.source import Table, opened
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.files import DatasetRow, File, FileImage
from backend.db.jobs import Job
from backend.errors import AppError, not_found
from backend.ids import new_id

EXPORTED_TOGETHER = 200
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
    file_id = _store_bytes(session, file, filename=filename, mapping=mapping)
    with opened(file, filename=filename) as table, Pictures(table.archive) as pictures:
        report = _copy_rows(
            session, table, file_id=file_id, mapping=mapping, pictures=pictures, on_bad_rows=on_bad_rows
        )
        if on_bad_rows == OnBadRows.REJECT:
            report.refuse_bad(filename)
        report.refuse_empty(filename)
        report.about |= {
            "format": table.format,
            "packing": table.packing,
            "encoding": table.encoding,
            "on_bad_rows": on_bad_rows,
            "images": {"files": len(pictures), "bytes": pictures.size_bytes},
            "duplicates": repeated_rows(session, file_id),
        }
        blobs.put_images(session, pictures.in_order(), file_id=file_id)
    session.execute(
        update(File)
        .where(File.id == file_id)
        .values(shape=report.shape, row_count=report.good, report=report.to_json())
        .execution_options(synchronize_session=False)
    )
    stored = session.get_one(File, file_id)
    session.refresh(stored)
    return stored


def _store_bytes(session: Session, file: BinaryIO, *, filename: str, mapping: ColumnMapping | None) -> str:
    """The id of the file, of which no rows are known yet."""
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
    return stored.id


def exported_lines(file_id: str) -> Iterator[bytes]:
    """The original rows as JSONL, in order, some hundreds in memory at a time, in a transaction of their own."""
    with transaction() as session:
        stored = session.scalars(
            select(DatasetRow.normal["item"])
            .where(DatasetRow.file_id == file_id)
            .order_by(DatasetRow.number)
            .execution_options(yield_per=EXPORTED_TOGETHER)
        )
        for item in stored:
            yield json.dumps(item, ensure_ascii=False).encode() + b"\n"


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
    images = session.scalars(select(FileImage.sha256).where(FileImage.file_id == file_id)).all()
    session.delete(file)
    session.flush()
    blobs.drop_unused(session, file.sha256)
    blobs.drop_unused_images(session, images)


def _copy_rows(
    session: Session,
    table: Table,
    *,
    file_id: str,
    mapping: ColumnMapping | None,
    pictures: Pictures,
    on_bad_rows: OnBadRows,
) -> Report:
    """Stream the rows in by COPY: a hundred thousand of them are one statement and one row in memory."""
    report = Report(counted_in=table.counted_in)
    findings = Findings(report)
    driver = session.connection().connection.cursor()
    with driver.copy(COPY) as copy:
        for row in normal_rows(table, mapping=mapping, report=report, pictures=pictures):
            if not report.bad or on_bad_rows == OnBadRows.TAKE_GOOD:
                normal = json.dumps(row.to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
                copy.write_row((file_id, row.number, row.line, row.row_hash, normal))
                findings.see(row)
    findings.finish()
    return report


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(blobs.CHUNK_BYTES):
        yield piece
