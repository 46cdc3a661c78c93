"""Uploaded files and the dataset rows read from them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.projects import ProjectOwned

ROWS_TOGETHER = 16
"""Rows in memory at a time when a whole file is processed: one may take megabytes, with its images."""


class FileStatus(StrEnum):
    """State of a file, in OpenAI's terms."""

    UPLOADED = "uploaded"
    """Its bytes are stored, its rows are being read."""
    PROCESSED = "processed"
    """Its rows can be used."""
    ERROR = "error"
    """It could not be read."""


class File(ProjectOwned, Base):
    """A dataset file: `sha256` is the blob of its bytes, `report` the report on it, `mapping` the user's column names.

    A version created from another file has that file's id in `parent_id` and a description in `change`. While a file is
    being read, `progress` is `{bytes_read, bytes_total, rows}`; if reading failed, `status_details` has the reason.
    """

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    created_at: Mapped[datetime]
    shape: Mapped[str | None]
    mapping: Mapped[Json | None]
    row_count: Mapped[int]
    report: Mapped[Json]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("files.id", ondelete="SET NULL"), index=True)
    change: Mapped[Json | None]
    status: Mapped[str] = mapped_column(default=FileStatus.PROCESSED, server_default=FileStatus.PROCESSED)
    status_details: Mapped[str | None]
    progress: Mapped[Json | None]


class DatasetRow(Base):
    """A row in the normal form (backend.datasets.rows). `number` counts rows from 0, `line` lines from 1.

    JSON, not JSONB, to preserve the user's order of keys and spelling of numbers.
    """

    __tablename__ = "dataset_rows"
    __table_args__ = (Index(None, "row_hash"),)

    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int]
    row_hash: Mapped[str]
    normal: Mapped[Json] = mapped_column(JSON(none_as_null=True))


class FileImage(Base):
    """An image used by the rows of a file; its bytes are a blob shared by all files with the same image."""

    __tablename__ = "file_images"

    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), primary_key=True, index=True)
