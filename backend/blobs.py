"""Content-addressed bytes in Postgres, streamed both ways in 4 MiB chunks."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.blobs import Blob, BlobChunk
from backend.db.exports import Export
from backend.db.files import File, FileImage
from backend.db.jobs import Job
from backend.db.projects import OF_ALL
from backend.db.training import Checkpoint
from backend.ids import new_id

CHUNK_BYTES = 4 * 1024 * 1024
IMAGES_LOCK = 7_215_005
"""Number of the advisory lock between those who store and those who delete images."""
EVERYBODYS: dict[str, Any] = {"synchronize_session": False, OF_ALL: True}
"""Options of statements on blobs, which projects share: one may use what another has no more need of."""


def rechunk(pieces: Iterable[bytes], *, size_bytes: int) -> Iterator[bytes]:
    """The same bytes in pieces of exactly `size_bytes`, the last one shorter."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= size_bytes:
            yield bytes(buffer[:size_bytes])
            del buffer[:size_bytes]
    if buffer:
        yield bytes(buffer)


def put(session: Session, pieces: Iterable[bytes]) -> Blob:
    """Store the bytes and return their blob; within the caller's transaction, so a failed request leaves nothing.

    The hash is known only at the end, so chunks go under a provisional name first.
    """
    provisional = new_id("incoming")
    session.execute(insert(Blob).values(sha256=provisional, size_bytes=0, created_at=utc_now()))
    digest = hashlib.sha256()
    size_bytes = 0
    for number, chunk in enumerate(rechunk(pieces, size_bytes=CHUNK_BYTES)):
        digest.update(chunk)
        size_bytes += len(chunk)
        session.execute(insert(BlobChunk).values(sha256=provisional, number=number, data=chunk))
    sha256 = digest.hexdigest()
    _alone_with(session, sha256)
    stored = session.execute(
        upsert(Blob)
        .values(sha256=sha256, size_bytes=size_bytes, created_at=utc_now())
        .on_conflict_do_nothing()
        .returning(Blob.sha256)
    ).scalar()
    if stored is not None:
        session.execute(update(BlobChunk).where(BlobChunk.sha256 == provisional).values(sha256=sha256))
    session.execute(delete(Blob).where(Blob.sha256 == provisional))
    return session.get_one(Blob, sha256)


def put_images(session: Session, images: Iterable[tuple[str, bytes]], *, file_id: str) -> None:
    """Store what a file's rows show, given as (SHA-256, bytes) in the order of the first.

    A lock for each of thousands would be more than the server has room for. So storing holds one lock with all others
    who store, deleting holds it alone, and the order keeps two who store the same images from waiting for each other.
    """
    session.execute(select(func.pg_advisory_xact_lock_shared(IMAGES_LOCK)))
    for sha256, data in images:
        new = session.execute(
            upsert(Blob)
            .values(sha256=sha256, size_bytes=len(data), created_at=utc_now())
            .on_conflict_do_nothing()
            .returning(Blob.sha256)
        ).scalar()
        if new is not None:
            for number, chunk in enumerate(rechunk([data], size_bytes=CHUNK_BYTES)):
                session.execute(insert(BlobChunk).values(sha256=sha256, number=number, data=chunk))
        session.execute(insert(FileImage).values(file_id=file_id, sha256=sha256))


def stream(session: Session, sha256: str) -> Iterator[bytes]:
    """The chunks in order, one in memory at a time."""
    number = 0
    while (piece := chunk(session, sha256, number=number)) is not None:
        yield piece
        number += 1


def chunk(session: Session, sha256: str, *, number: int) -> bytes | None:
    """The chunk with this number from 0; None behind the last one."""
    return session.scalar(select(BlobChunk.data).where(BlobChunk.sha256 == sha256, BlobChunk.number == number))


def read(session: Session, sha256: str) -> bytes:
    return b"".join(stream(session, sha256))


def drop_unused(session: Session, sha256: str) -> None:
    """Delete the blob unless a file, checkpoint, adapter or export still names it."""
    _alone_with(session, sha256)
    session.execute(delete(Blob).where(Blob.sha256 == sha256, ~_used()).execution_options(**EVERYBODYS))


def drop_unused_images(session: Session, images: Sequence[str]) -> None:
    """Delete those that no file's rows show any more."""
    if images:
        session.execute(select(func.pg_advisory_xact_lock(IMAGES_LOCK)))
        session.execute(delete(Blob).where(Blob.sha256.in_(images), ~_used()).execution_options(**EVERYBODYS))


def _used() -> ColumnElement[bool]:
    return or_(
        exists().where(File.sha256 == Blob.sha256),
        exists().where(FileImage.sha256 == Blob.sha256),
        exists().where(Checkpoint.sha256 == Blob.sha256),
        exists().where(Job.adapter_sha256 == Blob.sha256),
        exists().where(Export.sha256 == Blob.sha256),
    )


def _alone_with(session: Session, sha256: str) -> None:
    """Until this transaction ends, nobody else stores or drops these bytes: one may drop what the other just found."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(sha256, 0))))
