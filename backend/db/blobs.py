"""Tables of content-addressed blobs; `backend.blobs` reads and writes them."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base


class Blob(Base):
    """Bytes identified by their SHA-256 (hex). Shared: equal contents are stored once."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int]
    created_at: Mapped[datetime]


class BlobChunk(Base):
    """A piece of at most 4 MiB, ordered by `number` from 0."""

    __tablename__ = "blob_chunks"

    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


def size_of(session: Session, sha256: str) -> int:
    """Return the size in bytes of a stored blob."""
    return session.get_one(Blob, sha256).size_bytes
