"""Multipart uploads: the upload, its parts, and their bytes until the file is complete."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.projects import ProjectOwned


class UploadStatus(StrEnum):
    """State of an upload, in OpenAI's terms."""

    PENDING = "pending"
    """Accepts parts."""
    COMPLETED = "completed"
    """Its parts were joined to a file."""
    CANCELLED = "cancelled"
    """Cancelled by its owner."""
    EXPIRED = "expired"
    """Not completed in time."""


class Upload(ProjectOwned, Base):
    """An announced upload: `size_bytes` of all parts together, and how to read the file."""

    __tablename__ = "uploads"
    noun = "upload"
    __table_args__ = (Index(None, "expires_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    mime_type: Mapped[str]
    size_bytes: Mapped[int]
    mapping: Mapped[Json | None]
    on_bad_rows: Mapped[str]
    status: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    file_id: Mapped[str | None] = mapped_column(ForeignKey("files.id", ondelete="SET NULL"), index=True)


class UploadPart(Base):
    """A part of an upload."""

    __tablename__ = "upload_parts"

    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    size_bytes: Mapped[int]
    created_at: Mapped[datetime]


class UploadChunk(Base):
    """A piece of a part, at most 4 MiB, ordered by `number` from 0."""

    __tablename__ = "upload_chunks"

    part_id: Mapped[str] = mapped_column(ForeignKey("upload_parts.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
