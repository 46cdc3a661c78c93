"""Multipart uploads: announced, sent in parts in any order, and joined in the order requested.

Until then the bytes of parts are stored separately from blobs; they are deleted when the upload ends or expires.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.reading.store import OnBadRows, store_pieces
from backend.datasets.rows.shape import ColumnMapping
from backend.db.base import utc_now
from backend.db.files import File
from backend.db.uploads import Upload, UploadChunk, UploadPart, UploadStatus
from backend.errors import AppError, not_found
from backend.ids import new_id

MAX_PART_BYTES = 64 * 1024**2
MAX_PARTS = 10_000
MAX_SENDS = 3
"""How often each byte may be sent: OpenAI's client retries when it gets no response, and each copy is stored."""
LIFETIME = timedelta(hours=1)
KEPT = timedelta(days=1)
"""How long an upload is kept after it has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedFile:
    """A file that will be sent in parts, and how to read it."""

    filename: str
    purpose: str
    mime_type: str
    size_bytes: int
    mapping: ColumnMapping | None
    on_bad_rows: OnBadRows


def begin(session: Session, announced: AnnouncedFile, *, project: str) -> Upload:
    """Begin an upload to the project."""
    now, mapping = utc_now(), announced.mapping
    upload = Upload(
        id=new_id("upload"),
        filename=announced.filename,
        purpose=announced.purpose,
        mime_type=announced.mime_type,
        size_bytes=announced.size_bytes,
        mapping=None if mapping is None else mapping.model_dump(exclude_none=True),
        on_bad_rows=announced.on_bad_rows,
        status=UploadStatus.PENDING,
        created_at=now,
        expires_at=now + LIFETIME,
        project_id=project,
    )
    session.add(upload)
    session.flush()
    return upload


def status_of(upload: Upload) -> UploadStatus:
    """Return the current status; a pending upload may have expired since it was stored."""
    status = UploadStatus(upload.status)
    expired = status is UploadStatus.PENDING and upload.expires_at <= utc_now()
    return UploadStatus.EXPIRED if expired else status


def pending_upload(session: Session, upload_id: str, *, project: str, exclusive: bool) -> Upload:
    """Lock a pending upload of the project, `exclusive` or shared with other requests that add parts.

    Raises AppError: 404 if there is none, 409 if it has ended.
    """
    statement = (
        select(Upload)
        .where(Upload.id == upload_id, Upload.project_id == project)
        .with_for_update(read=not exclusive, key_share=not exclusive)
    )
    upload = None if "\0" in upload_id else session.scalar(statement)
    if upload is None:
        raise not_found("upload", upload_id)
    status = status_of(upload)
    if status is not UploadStatus.PENDING:
        raise AppError(
            f"Upload '{upload_id}' is {status}: start a new one.",
            status=409,
            code="upload_not_pending",
            type="conflict_error",
        )
    return upload


def add_part(session: Session, upload_id: str, content: BinaryIO, *, project: str, size_bytes: int) -> UploadPart:
    """Store a part. Raises AppError as `pending_upload` does, and if parts become too large or too many."""
    upload = pending_upload(session, upload_id, project=project, exclusive=False)
    if not 1 <= size_bytes <= MAX_PART_BYTES:
        raise AppError(
            f"A part must have 1 to {MAX_PART_BYTES} bytes; this one has {size_bytes}.",
            status=413 if size_bytes else 400,
            code="part_too_large" if size_bytes else "empty_part",
            param="data",
        )
    count, sent_bytes = session.execute(
        select(func.count(), func.coalesce(func.sum(UploadPart.size_bytes), 0)).where(UploadPart.upload_id == upload.id)
    ).one()
    if count >= MAX_PARTS or size_bytes > upload.size_bytes or sent_bytes + size_bytes > MAX_SENDS * upload.size_bytes:
        raise AppError(
            f"The upload was announced with {upload.size_bytes} bytes; {count} parts with {sent_bytes} bytes have been "
            f"sent, and this part has {size_bytes}. An upload may have at most {MAX_PARTS} parts, and each byte may be "
            f"sent at most {MAX_SENDS} times.",
            code="too_many_parts",
            param="data",
        )
    part = UploadPart(id=new_id("part"), upload_id=upload_id, size_bytes=size_bytes, created_at=utc_now())
    session.add(part)
    session.flush()
    number = 0
    while chunk := content.read(blobs.CHUNK_BYTES):
        session.execute(insert(UploadChunk).values(part_id=part.id, number=number, data=chunk))
        number += 1
    return part


def join(
    session: Session, upload_id: str, *, project: str, part_ids: Sequence[str], md5: str | None
) -> tuple[Upload, File]:
    """Join these parts, in this order, to a file with rows not read yet; `forget_parts` deletes the parts.

    Raises AppError as `pending_upload` does, and if parts are unknown or do not match what was announced.
    """
    upload = pending_upload(session, upload_id, project=project, exclusive=True)
    _require_whole(session, upload, part_ids)
    digest = hashlib.md5(usedforsecurity=False)
    mapping = None if upload.mapping is None else ColumnMapping.model_validate(upload.mapping)
    pieces = _joined(session, part_ids, digest.update)
    file = store_pieces(session, pieces, project=project, filename=upload.filename, mapping=mapping)
    if md5 is not None and digest.hexdigest() != md5.lower():
        raise AppError(
            f"The MD5 of the joined parts is {digest.hexdigest()}, not {md5.lower()}: a part is damaged, or the parts "
            "are in the wrong order.",
            code="wrong_md5",
            param="md5",
        )
    upload.status, upload.file_id = UploadStatus.COMPLETED, file.id
    session.flush()
    return upload, file


def cancel(session: Session, upload_id: str, *, project: str) -> Upload:
    """Cancel a pending upload and delete its parts. Raises AppError as `pending_upload` does."""
    upload = pending_upload(session, upload_id, project=project, exclusive=True)
    upload.status = UploadStatus.CANCELLED
    forget_parts(session, upload)
    return upload


def reopen(session: Session, upload: Upload) -> None:
    """Make an upload pending again after its file could not be read, so that its parts can be joined differently."""
    own = update(Upload).where(Upload.id == upload.id, Upload.project_id == upload.project_id)
    session.execute(own.values(status=UploadStatus.PENDING, file_id=None))


def forget_parts(session: Session, upload: Upload) -> None:
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload.id))


def forget_expired(session: Session) -> None:
    """Delete the parts of expired uploads, and a day later the uploads."""
    now = utc_now()
    expired = select(Upload.id).where(Upload.expires_at < now)
    session.execute(
        delete(UploadPart).where(UploadPart.upload_id.in_(expired)).execution_options(synchronize_session=False)
    )
    session.execute(
        update(Upload)
        .where(Upload.expires_at < now, Upload.status == UploadStatus.PENDING)
        .values(status=UploadStatus.EXPIRED)
    )
    session.execute(delete(Upload).where(Upload.expires_at < now - KEPT))


def _require_whole(session: Session, upload: Upload, part_ids: Sequence[str]) -> None:
    found = session.execute(select(UploadPart.id, UploadPart.size_bytes).where(UploadPart.upload_id == upload.id))
    sizes = dict(found.tuples().all())
    seen: set[str] = set()
    for place, part_id in enumerate(part_ids):
        if part_id not in sizes or part_id in seen:
            problem = "is listed twice" if part_id in seen else f"is not a part of upload '{upload.id}'"
            raise AppError(f"'{part_id:.100}' {problem}.", code="invalid_part", param=f"part_ids.{place}")
        seen.add(part_id)
    total = sum(sizes[part_id] for part_id in part_ids)
    if total != upload.size_bytes:
        raise AppError(
            f"The parts have {total} bytes in total, but the upload was announced with {upload.size_bytes}.",
            code="wrong_size",
            param="part_ids",
        )


def _joined(session: Session, part_ids: Sequence[str], update_digest: Callable[[bytes], None]) -> Iterator[bytes]:
    """Yield the bytes of the parts, one chunk in memory at a time."""
    for part_id in part_ids:
        number = 0
        while True:
            chunk = session.scalar(
                select(UploadChunk.data).where(UploadChunk.part_id == part_id, UploadChunk.number == number)
            )
            if chunk is None:
                break
            update_digest(chunk)
            yield chunk
            number += 1
