"""Uploaded files and the dataset rows read from them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, ForeignKey, Index, String, cast, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSON, JSONB, JSONPATH, array
from sqlalchemy.orm import Mapped, Session, aliased, load_only, mapped_column

from backend.db.base import Base, Json
from backend.db.pages import Listing
from backend.db.projects import ProjectOwned
from backend.db.search import contains

ROWS_TOGETHER = 16
"""Rows in memory at a time when a whole file is processed: one may take megabytes, with its images."""
MESSAGE_TEXTS = '$[*].content[*] ? (@.type() == "string" || exists(@.text))'
"""JSON path to the texts of messages: contents that are strings, and parts with a text."""


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
    noun = "file"

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


def files_of(project: str, *, purpose: str | None) -> Listing[File]:
    statement = select(File).where(File.project_id == project)
    if purpose is not None:
        statement = statement.where(File.purpose == purpose)
    return Listing(statement, keys=(File.created_at, File.id))


def lock_file(session: Session, file_id: str, *, project: str) -> File | None:
    """Return the project's file, locked against deletion until the transaction ends."""
    if "\0" in file_id:
        return None
    own = select(File).where(File.id == file_id, File.project_id == project)
    return session.scalar(own.with_for_update(read=True, key_share=True))


def family_of(session: Session, file: File) -> Sequence[File]:
    """Return the file, its ancestors, and all their descendants; the oldest first."""
    ancestors = select(File.id, File.parent_id).where(File.id == file.id).cte("ancestors", recursive=True)
    ancestors = ancestors.union(select(File.id, File.parent_id).join(ancestors, File.id == ancestors.c.parent_id))
    members = select(ancestors.c.id).cte("members", recursive=True)
    child = aliased(File)
    members = members.union(select(child.id).join(members, child.parent_id == members.c.id))
    relatives = select(File).where(File.id.in_(select(members.c.id)), File.project_id == file.project_id)
    return session.scalars(relatives.order_by(File.created_at, File.id)).all()


def rows_of(file: File, *, numbers: Collection[int] | None, search: str | None) -> Listing[DatasetRow]:
    """Select the file's rows, with these numbers and this part of question or reference where given."""
    statement = select(DatasetRow).where(DatasetRow.file_id == file.id)
    if numbers is not None:
        statement = statement.where(DatasetRow.number.in_(numbers))
    if search is not None:
        statement = statement.where(_text_contains(search))
    return Listing(statement, keys=(DatasetRow.number,))


def row_hashes_of(file: File) -> Listing[DatasetRow]:
    """Select numbers and hashes of the file's rows, not the rows themselves, which may be large."""
    hashes = load_only(DatasetRow.row_hash, raiseload=True)
    return Listing(select(DatasetRow).where(DatasetRow.file_id == file.id).options(hashes), keys=(DatasetRow.number,))


def has_image(session: Session, file: File, sha256: str) -> bool:
    """Return whether the file's rows use the image with this hash."""
    return session.get(FileImage, (file.id, sha256)) is not None


def _text_contains(search: str) -> ColumnElement[bool]:
    """Build the condition that the texts of a row's messages or reference, not the JSON around them, match."""
    messages = cast(DatasetRow.normal["messages"], JSONB)
    word = func.jsonb_path_query(messages, cast(literal(MESSAGE_TEXTS), JSONPATH)).column_valued("word")
    text = func.coalesce(word.op("->>")("text"), word.op("#>>")(array([], type_=String)), type_=String)
    in_messages = select(literal(1)).where(contains(text, search)).exists()
    references = (DatasetRow.normal["reference"][part].as_string() for part in ("answer", "solution", "trajectory"))
    return or_(in_messages, *(contains(reference, search) for reference in references))
