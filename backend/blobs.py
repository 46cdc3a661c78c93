"""Content-addressed bytes in Postgres, streamed both ways in 4 MiB chunks."""

import hashlib
from collections.abc import Iterable, Iterator

from sqlalchemy import delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.blobs import Blob, BlobChunk
from backend.db.files import File
from backend.db.jobs import Job
from backend.db.training import Checkpoint
from backend.ids import new_id

CHUNK_BYTES = 4 * 1024 * 1024


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


def stream(session: Session, sha256: str) -> Iterator[bytes]:
    """The chunks in order, one in memory at a time."""
    number = 0
    while True:
        chunk = session.scalar(select(BlobChunk.data).where(BlobChunk.sha256 == sha256, BlobChunk.number == number))
        if chunk is None:
            return
        yield chunk
        number += 1


def read(session: Session, sha256: str) -> bytes:
    return b"".join(stream(session, sha256))


def drop_unused(session: Session, sha256: str) -> None:
    """Delete the blob unless a file, checkpoint or adapter still names it."""
    _alone_with(session, sha256)
    used = or_(
        exists().where(File.sha256 == sha256),
        exists().where(Checkpoint.sha256 == sha256),
        exists().where(Job.adapter_sha256 == sha256),
    )
    session.execute(delete(Blob).where(Blob.sha256 == sha256, ~used).execution_options(synchronize_session=False))


def _alone_with(session: Session, sha256: str) -> None:
    """Until this transaction ends, nobody else stores or drops these bytes: one may drop what the other just found."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(sha256, 0))))
