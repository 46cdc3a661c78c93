"""`/v1/files`: datasets up and down. Their rows are read by other processes (`backend.datasets.reading.background`)."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, String, cast, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, array

from backend import blobs
from backend.api.files.upload_form import UPLOAD_SCHEMA, Upload, uploaded
from backend.api.http.dependencies import Auth, Database, ObjectId, found, write_audit_entry
from backend.api.http.downloads import download, shown_image
from backend.api.http.paging import After, ListItem, Order, Page, PageQuery, cut, listed, numbers_of
from backend.api.http.search import Search, holds, time_bounded
from backend.datasets.reading.background import read_in_background, read_now
from backend.datasets.reading.store import OnBadRows, delete_file, exported_lines, processed_file, store_bytes
from backend.datasets.rows.rows import NormalRow
from backend.db.base import unix_s
from backend.db.engine import transaction
from backend.db.files import DatasetRow, File, FileImage, FileStatus
from backend.errors import not_found
from backend.quotas import require_storage

router = APIRouter(prefix="/files", tags=["files"])

RESPOND_ASYNC = re.compile(r"(?:^|[,\s])respond-async(?:$|[,;\s])", re.IGNORECASE)
"""The preference of RFC 7240."""
RowNumber = Annotated[int, Field(ge=0, le=10**9)]
WORDS = '$[*].content[*] ? (@.type() == "string" || exists(@.text))'
"""In messages: contents that are texts, and parts that hold one."""
Prefer = Annotated[str, Header(max_length=1000, description="`respond-async`: see below.")]


class FileProgress(BaseModel):
    """How far a file is read; the bytes are of the table, unpacked."""

    bytes_read: int
    bytes_total: int
    rows: int


class FileObject(ListItem):
    """OpenAI's file object; `rows` and `shape` (the rule by which it was read) are ours, as is `progress`.

    A version made from another file names it in `parent_id`, and what was done, in words and figures, in `change`.
    `status` is `uploaded` while the rows are read, then `processed`, or `error`, of which `status_details` tell.
    """

    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: FileStatus
    status_details: str | None = None
    progress: FileProgress | None = None
    expires_at: int | None = None
    rows: int
    shape: str | None
    parent_id: str | None = None
    change: dict[str, Any] | None = None


class FileDeleted(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class FileRow(ListItem):
    """A row in the normal form; `item` is the original. `row` counts from 0, `line` from 1."""

    model_config = ConfigDict(extra="forbid")

    row: int
    line: int
    messages: list[dict[str, Any]]
    images: list[str]
    reference: dict[str, str | None]
    hint: dict[str, str] | None
    item: dict[str, Any]
    split: str
    row_hash: str


@router.post(
    "",
    openapi_extra=UPLOAD_SCHEMA,
    responses={202: {"model": FileObject, "description": "Stored; its rows are being read."}},
)
def create_file(
    upload: Annotated[Upload, Depends(uploaded)],
    request: Request,
    response: Response,
    who: Auth,
    prefer: Prefer = "",
) -> FileObject:
    """Store a dataset. A line that cannot be used refuses the file, naming the line, and nothing is kept; with
    `on_bad_rows=take_good` such lines are left out, and the report lists them.

    The answer comes when all rows were read. With the header `Prefer: respond-async` it comes once the bytes are
    stored: ask for the file until its `status` is no longer `uploaded`. One that cannot be used is then kept for a day,
    with the status `error`.
    """
    with transaction(project=who.project) as session:
        require_storage(session, upload.size_bytes)
    with transaction(project=who.project) as session:
        file = store_bytes(session, upload.content, filename=upload.filename, mapping=upload.mapping)
        require_storage(session)  # others may have come first meanwhile
        write_audit_entry(session, request, who)
    read_as_preferred(file, prefer, response, on_bad_rows=upload.on_bad_rows)
    with transaction(project=who.project) as session:
        return shown_file(found(session, File, file.id, kind="file"))


@router.get("")
def list_files(
    _: Auth,
    session: Database,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Order = Order.DESC,
    purpose: Annotated[str | None, Query(max_length=100)] = None,
) -> Page[FileObject]:
    statement = select(File)
    if purpose is not None:
        statement = statement.where(File.purpose == purpose)
    return listed(
        session, statement, keys=(File.created_at, File.id), asked=PageQuery(after, limit, order), show=shown_file
    )


@router.get("/{file_id}")
def get_file(file_id: ObjectId, _: Auth, session: Database) -> FileObject:
    return shown_file(found(session, File, file_id, kind="file"))


@router.delete("/{file_id}")
def remove_file(file_id: ObjectId, _: Auth, session: Database) -> FileDeleted:
    """409 where a job was made from it, or its rows are being read."""
    found(session, File, file_id, kind="file")
    delete_file(session, file_id)
    return FileDeleted(id=file_id)


@router.get(
    "/{file_id}/content",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, 304: {"description": "The caller has it."}},
)
def get_content(file_id: ObjectId, request: Request, _: Auth, session: Database) -> Response:
    """The bytes as they were uploaded."""
    file = found(session, File, file_id, kind="file")
    return download(
        request,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        filename=file.filename,
        media_type="application/octet-stream",
    )


@router.get(
    "/{file_id}/export",
    response_class=Response,
    responses={200: {"content": {"application/jsonl": {}}}},
)
def export_rows(file_id: ObjectId, _: Auth, session: Database) -> Response:
    """The rows that were taken, as their author wrote them, in JSONL whatever the format of the file was."""
    file = processed_file(session, file_id)
    name = f"{file.filename.rpartition('.')[0] or file.filename}.jsonl"
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    return StreamingResponse(exported_lines(file), media_type="application/jsonl", headers=headers)


@router.get(
    "/{file_id}/images/{sha256}",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, 304: {"description": "The caller has it."}},
)
def get_image(
    file_id: ObjectId,
    sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
    request: Request,
    _: Auth,
    session: Database,
) -> Response:
    """An image that the file's rows show, named by the SHA-256 under which a row lists it."""
    processed_file(session, file_id)
    if session.get(FileImage, (file_id, sha256)) is None:
        raise not_found("image of this file", sha256)
    return shown_image(request, blobs.read(session, sha256), sha256=sha256)


@router.get("/{file_id}/rows")
def list_rows(
    file_id: ObjectId,
    who: Auth,
    number: Annotated[
        list[RowNumber] | None,
        Query(max_length=500, description="Only these rows, counted from 0; name the parameter once for each."),
    ] = None,
    search: Search = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    order: Order = Order.ASC,
) -> Page[FileRow]:
    """Its rows in the normal form. `search` looks into the question and the reference, as the filter `text` does."""
    statement = select(DatasetRow).where(DatasetRow.file_id == file_id)
    if number is not None:
        statement = statement.where(DatasetRow.number.in_(number))
    if search is not None:
        statement = statement.where(_told_in(search))
    place = numbers_of(after, pattern=r"row-(\d+)")
    with time_bounded(project=who.project, narrower="name the rows to look at") as session:
        processed_file(session, file_id)
        return cut(
            session, statement, keys=(DatasetRow.number,), after=place, limit=limit, order=order, show=_shown_row
        )


def read_as_preferred(file: File, prefer: str, response: Response, *, on_bad_rows: OnBadRows) -> None:
    """Read the rows of a stored file before the answer, or after it where the caller prefers that."""
    if RESPOND_ASYNC.search(prefer):
        read_in_background(file, on_bad_rows=on_bad_rows)
        response.status_code = 202
        response.headers["preference-applied"] = "respond-async"
    else:
        read_now(file, on_bad_rows=on_bad_rows)


def shown_file(file: File) -> FileObject:
    return FileObject(
        id=file.id,
        bytes=file.size_bytes,
        created_at=unix_s(file.created_at) or 0,
        filename=file.filename,
        purpose=file.purpose,
        status=FileStatus(file.status),
        status_details=file.status_details,
        progress=None if file.progress is None else FileProgress.model_validate(file.progress),
        rows=file.row_count,
        shape=file.shape,
        parent_id=file.parent_id,
        change=file.change,
    )


def _told_in(search: str) -> ColumnElement[bool]:
    """Whether a row's messages or its reference hold a text: their words, not the JSON around them."""
    messages = cast(DatasetRow.normal["messages"], JSONB)
    word = func.jsonb_path_query(messages, cast(literal(WORDS), JSONPATH)).column_valued("word")
    text = func.coalesce(word.op("->>")("text"), word.op("#>>")(array([], type_=String)), type_=String)
    asked = select(literal(1)).where(holds(text, search)).exists()
    known = (DatasetRow.normal["reference"][part].as_string() for part in ("answer", "solution", "trajectory"))
    return or_(asked, *(holds(part, search) for part in known))


def _shown_row(stored: DatasetRow) -> FileRow:
    row = NormalRow.from_json(stored.normal, number=stored.number, line=stored.line)
    return FileRow(row=row.number, line=row.line, **row.to_json())
