"""Uploaded files and the dataset rows read from them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.projects import ProjectOwned

ROWS_TOGETHER = 16
"""Rows in memory at a time, where all of a file pass: one may take megabytes, with its images."""


class FileStatus(StrEnum):
    """OpenAI's words."""

    UPLOADED = "uploaded"
    """Its bytes are here, its rows are being read."""
    PROCESSED = "processed"
    """Its rows can be used."""
    ERROR = "error"
    """It could not be read."""


class File(ProjectOwned, Base):
    """An upload: `sha256` names its bytes, `report` what was found in it, `mapping` the user's own column names.

    A version made from another file names it as `parent_id`, and how in `change`. While a file is read, `progress` is
    `{bytes_read, bytes_total, rows}`; where reading failed, `status_details` says why.
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
    """One row in the normal form (SHAPES, Dataset rows). `number` counts rows from 0, `line` lines from 1.

    JSON, not JSONB: order of keys and spelling of numbers are the user's, and stay.
    """

    __tablename__ = "dataset_rows"
    __table_args__ = (Index(None, "row_hash"),)

    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int]
    row_hash: Mapped[str]
    normal: Mapped[Json] = mapped_column(JSON(none_as_null=True))


class FileImage(Base):
    """That the rows of a file show this image, whose bytes are a blob shared with all who show the same."""

    __tablename__ = "file_images"

    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), primary_key=True, index=True)
