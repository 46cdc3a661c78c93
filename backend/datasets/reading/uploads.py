"""Files that arrive in parts: announced, sent in parts in any order, joined in the order that is asked for.

The bytes of parts are kept apart from blobs until then, and deleted when the upload ends or its time is over.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import BinaryIO

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.reading.store import OnBadRows, store_pieces
from backend.datasets.rows.recognise import ColumnMapping
from backend.db.base import utc_now
from backend.db.files import File
from backend.db.uploads import Upload, UploadChunk, UploadPart, UploadStatus
from backend.errors import AppError, not_found
from backend.ids import new_id

MAX_PART_BYTES = 64 * 1024**2
MAX_PARTS = 10_000
SENDS = 3
"""A part may be sent that often, as the official client does where no answer comes; each time its bytes are kept."""
LIFE = timedelta(hours=1)
KEPT = timedelta(days=1)
"""How long after its time an upload that ended is still shown."""


def begin(
    session: Session,
    *,
    filename: str,
    purpose: str,
    mime_type: str,
    size_bytes: int,
    mapping: ColumnMapping | None,
    on_bad_rows: OnBadRows,
) -> Upload:
    now = utc_now()
    upload = Upload(
        id=new_id("upload"),
        filename=filename,
        purpose=purpose,
        mime_type=mime_type,
        size_bytes=size_bytes,
        mapping=None if mapping is None else mapping.model_dump(exclude_none=True),
        on_bad_rows=on_bad_rows,
        status=UploadStatus.PENDING,
        created_at=now,
        expires_at=now + LIFE,
    )
    session.add(upload)
    session.flush()
    return upload


def status_of(upload: Upload) -> UploadStatus:
    """Its status now: the time of one that still waits may be over."""
    status = UploadStatus(upload.status)
    over = status is UploadStatus.PENDING and upload.expires_at <= utc_now()
    return UploadStatus.EXPIRED if over else status


def pending_upload(session: Session, upload_id: str, *, alone: bool) -> Upload:
    """An upload that takes parts, locked: `alone`, or together with others who add parts.

    Raises AppError: 404 where there is none, 409 where it has ended.
    """
    statement = select(Upload).where(Upload.id == upload_id).with_for_update(read=not alone, key_share=not alone)
    upload = None if "\0" in upload_id else session.scalar(statement)
    if upload is None:
        raise not_found("upload", upload_id)
    status = status_of(upload)
    if status is not UploadStatus.PENDING:
        raise AppError(
            f"Upload '{upload_id}' is {status}: begin another.",
            status=409,
            code="upload_not_pending",
            type="conflict_error",
        )
    return upload


def add_part(session: Session, upload_id: str, content: BinaryIO, *, size_bytes: int) -> UploadPart:
    """Keep a part. Raises AppError as `pending_upload` does, and where parts become too large or too many."""
    upload = pending_upload(session, upload_id, alone=False)
    if not 1 <= size_bytes <= MAX_PART_BYTES:
        raise AppError(
            f"A part has 1 to {MAX_PART_BYTES} bytes, and this one has {size_bytes}.",
            status=413 if size_bytes else 400,
            code="part_too_large" if size_bytes else "empty_part",
            param="data",
        )
    count, sent_bytes = session.execute(
        select(func.count(), func.coalesce(func.sum(UploadPart.size_bytes), 0)).where(UploadPart.upload_id == upload_id)
    ).one()
    if count >= MAX_PARTS or size_bytes > upload.size_bytes or sent_bytes + size_bytes > SENDS * upload.size_bytes:
        raise AppError(
            f"The file was announced with {upload.size_bytes} bytes, {count} parts with {sent_bytes} bytes were sent, "
            f"and this one has {size_bytes}: an upload takes {MAX_PARTS} parts and each byte {SENDS} times at most.",
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


def join(session: Session, upload_id: str, *, part_ids: Sequence[str], md5: str | None) -> tuple[Upload, File]:
    """The file of these parts in this order, its rows not read yet; the parts stay until `forget_parts`.

    Raises AppError as `pending_upload` does, and where parts are unknown, or not what was announced.
    """
    upload = pending_upload(session, upload_id, alone=True)
    _require_whole(session, upload, part_ids)
    digest = hashlib.md5(usedforsecurity=False)
    mapping = None if upload.mapping is None else ColumnMapping.model_validate(upload.mapping)
    file = store_pieces(session, _joined(session, part_ids, digest.update), filename=upload.filename, mapping=mapping)
    if md5 is not None and digest.hexdigest() != md5.lower():
        raise AppError(
            f"The MD5 of the joined parts is {digest.hexdigest()}, not {md5.lower()}: a part is damaged, or their "
            "order is another.",
            code="wrong_md5",
            param="md5",
        )
    upload.status, upload.file_id = UploadStatus.COMPLETED, file.id
    session.flush()
    return upload, file


def cancel(session: Session, upload_id: str) -> Upload:
    """Raises AppError as `pending_upload` does."""
    upload = pending_upload(session, upload_id, alone=True)
    upload.status = UploadStatus.CANCELLED
    forget_parts(session, upload_id)
    return upload


def reopen(session: Session, upload_id: str) -> None:
    """Its file could not be read: the parts may be joined again, in another order."""
    session.execute(update(Upload).where(Upload.id == upload_id).values(status=UploadStatus.PENDING, file_id=None))


def forget_parts(session: Session, upload_id: str) -> None:
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload_id))


def forget_expired(session: Session) -> None:
    """Delete the parts of uploads whose time is over, and a day later what is known of them."""
    now = utc_now()
    over = select(Upload.id).where(Upload.expires_at < now)
    session.execute(
        delete(UploadPart).where(UploadPart.upload_id.in_(over)).execution_options(synchronize_session=False)
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
            why = "is named twice" if part_id in seen else f"is no part of upload '{upload.id}'"
            raise AppError(f"'{part_id:.100}' {why}.", code="invalid_part", param=f"part_ids.{place}")
        seen.add(part_id)
    total = sum(sizes[part_id] for part_id in part_ids)
    if total != upload.size_bytes:
        raise AppError(
            f"The parts have {total} bytes together, and the file was announced with {upload.size_bytes}.",
            code="wrong_size",
            param="part_ids",
        )


def _joined(session: Session, part_ids: Sequence[str], see: Callable[[bytes], None]) -> Iterator[bytes]:
    """The bytes of the parts, a chunk in memory at a time."""
    for part_id in part_ids:
        number = 0
        while True:
            chunk = session.scalar(
                select(UploadChunk.data).where(UploadChunk.part_id == part_id, UploadChunk.number == number)
            )
            if chunk is None:
                break
            see(chunk)
            yield chunk
            number += 1
