"""Content-addressed blobs in PostgreSQL, written and read as streams of 4 MiB chunks."""

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
from backend.db.projects import ALL_PROJECTS
from backend.db.training import Checkpoint
from backend.ids import new_id

CHUNK_BYTES = 4 * 1024 * 1024
IMAGES_LOCK = 7_215_005
"""Number of the advisory lock between transactions that store and transactions that delete images."""
ACROSS_PROJECTS: dict[str, Any] = {"synchronize_session": False, ALL_PROJECTS: True}
"""Options of statements on blobs, which projects share: a blob unused in one project may be used in another."""


def rechunk(pieces: Iterable[bytes], *, size_bytes: int) -> Iterator[bytes]:
    """Yield the same bytes in pieces of exactly `size_bytes`; the last one may be shorter."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= size_bytes:
            yield bytes(buffer[:size_bytes])
            del buffer[:size_bytes]
    if buffer:
        yield bytes(buffer)


def put(session: Session, pieces: Iterable[bytes]) -> Blob:
    """Store the bytes and return their blob, within the caller's transaction, so a failed request leaves nothing.

    The hash is known only at the end, so chunks are stored under a provisional name first.
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
    _lock_blob(session, sha256)
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
    """Store the images of a file's rows, given as (SHA-256, bytes) sorted by SHA-256.

    One lock for each of thousands of images would exceed the server's lock table. So storing takes a single lock in
    shared mode, deleting takes it exclusively, and the order prevents deadlocks between writers of the same images.
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
    """Yield the chunks in order, one in memory at a time."""
    number = 0
    while (piece := chunk(session, sha256, number=number)) is not None:
        yield piece
        number += 1


def chunk(session: Session, sha256: str, *, number: int) -> bytes | None:
    """Return the chunk with this number, from 0; None after the last one."""
    return session.scalar(select(BlobChunk.data).where(BlobChunk.sha256 == sha256, BlobChunk.number == number))


def read(session: Session, sha256: str) -> bytes:
    return b"".join(stream(session, sha256))


def drop_unused(session: Session, sha256: str) -> None:
    """Delete the blob unless a file, checkpoint, adapter or export still references it."""
    _lock_blob(session, sha256)
    session.execute(delete(Blob).where(Blob.sha256 == sha256, ~_is_referenced()).execution_options(**ACROSS_PROJECTS))


def drop_unused_images(session: Session, images: Sequence[str]) -> None:
    """Delete those of the images that are no longer referenced."""
    if images:
        session.execute(select(func.pg_advisory_xact_lock(IMAGES_LOCK)))
        session.execute(
            delete(Blob).where(Blob.sha256.in_(images), ~_is_referenced()).execution_options(**ACROSS_PROJECTS)
        )


def _is_referenced() -> ColumnElement[bool]:
    return or_(
        exists().where(File.sha256 == Blob.sha256),
        exists().where(FileImage.sha256 == Blob.sha256),
        exists().where(Checkpoint.sha256 == Blob.sha256),
        exists().where(Job.adapter_sha256 == Blob.sha256),
        exists().where(Export.sha256 == Blob.sha256),
    )


def _lock_blob(session: Session, sha256: str) -> None:
    """Lock a blob until the transaction ends: otherwise one could drop a blob that another has just found stored."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(sha256, 0))))
