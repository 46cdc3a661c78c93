"""`/v1/files`: upload and download of datasets. Other processes read their rows (`datasets.reading.background`)."""

import re
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from backend import blobs
from backend.api.files.upload_form import UPLOAD_SCHEMA, Upload, parse_upload, upload_body_bytes
from backend.api.http.dependencies import Database, ObjectId, get_or_404, write_audit_entry
from backend.api.http.downloads import download, image_response
from backend.api.http.operations import BodyUpTo
from backend.api.http.paging import After, ListItem, Order, Page, PageQuery, Search, numbers_in_id, page_of
from backend.api.http.rights import DatasetsRead, DatasetsWrite
from backend.datasets.reading.background import read_in_background, read_now
from backend.datasets.reading.store import OnBadRows, delete_file, exported_lines, processed_file, store_bytes
from backend.datasets.rows.references import Reference
from backend.datasets.rows.rows import HintText, NormalRow
from backend.db.base import unix_s
from backend.db.engine import transaction
from backend.db.files import DatasetRow, File, FileStatus, files_of, has_image, rows_of
from backend.db.search import search_limit
from backend.errors import not_found
from backend.quotas import require_storage

router = APIRouter(prefix="/files", tags=["files"])

RESPOND_ASYNC = re.compile(r"(?:^|[,\s])respond-async(?:$|[,;\s])", re.IGNORECASE)
"""The preference of RFC 7240."""
RowNumber = Annotated[int, Field(ge=0, le=10**9)]
Prefer = Annotated[str, Header(max_length=1000, description="`respond-async`: respond before the rows are read.")]


class FileProgress(BaseModel):
    """The progress of reading a file, in bytes of the decompressed table."""

    bytes_read: int
    bytes_total: int
    rows: int


class FileObject(ListItem):
    """OpenAI's file object, extended by `rows`, `shape` (the layout it was read with) and `progress`.

    A version created from another file has its id in `parent_id` and a description of the difference in `change`.
    `status` is `uploaded` while the rows are read, then `processed`, or `error` with the reason in `status_details`.
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
    """A row in normal form; `item` is the original. `row` counts from 0, `line` from 1."""

    model_config = ConfigDict(extra="forbid")

    row: int
    line: int
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    images: list[str]
    reference: Reference
    hint: HintText | None
    item: dict[str, Any]
    split: str
    row_hash: str


@router.post(
    "",
    openapi_extra=UPLOAD_SCHEMA,
    responses={202: {"model": FileObject, "description": "Stored; its rows are being read."}},
    dependencies=[Depends(BodyUpTo(upload_body_bytes))],
)
def create_file(
    upload: Annotated[Upload, Depends(parse_upload)],
    request: Request,
    response: Response,
    caller: DatasetsWrite,
    prefer: Prefer = "",
) -> FileObject:
    """Store a dataset. A file with an invalid line is refused, with the line number, and nothing is stored; with
    `on_bad_rows=take_good` invalid lines are skipped and listed in the report.

    Responds when all rows have been read. With the header `Prefer: respond-async` it responds once the bytes are
    stored: poll the file until its `status` is no longer `uploaded`. An invalid file is then kept for a day with the
    status `error`.
    """
    with transaction(project=caller.project) as session:
        require_storage(session, project=caller.project, additional_bytes=upload.size_bytes)
    with transaction(project=caller.project) as session:
        file = store_bytes(
            session, upload.content, project=caller.project, filename=upload.filename, mapping=upload.mapping
        )
        require_storage(session, project=caller.project)  # again: other uploads may have finished meanwhile
        write_audit_entry(session, request, caller)
    read_as_preferred(file, prefer, response, on_bad_rows=upload.on_bad_rows)
    with transaction(project=caller.project) as session:
        return file_object(get_or_404(session, File, file.id, project=caller.project))


@router.get("")
def list_files(
    caller: DatasetsRead,
    session: Database,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Order = Order.DESC,
    purpose: Annotated[str | None, Query(max_length=100)] = None,
) -> Page[FileObject]:
    """List all files, newest first."""
    files = files_of(caller.project, purpose=purpose)
    return page_of(session, files, PageQuery(after, limit, order), to_item=file_object)


@router.get("/{file_id}")
def get_file(file_id: ObjectId, caller: DatasetsRead, session: Database) -> FileObject:
    """Return a file."""
    return file_object(get_or_404(session, File, file_id, project=caller.project))


@router.delete("/{file_id}")
def remove_file(file_id: ObjectId, caller: DatasetsWrite, session: Database) -> FileDeleted:
    """Delete a file. 409 if a job uses it, or its rows are being read."""
    delete_file(session, get_or_404(session, File, file_id, project=caller.project))
    return FileDeleted(id=file_id)


@router.get(
    "/{file_id}/content",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, 304: {"description": "Not modified."}},
)
def get_content(file_id: ObjectId, request: Request, caller: DatasetsRead, session: Database) -> Response:
    """Download the bytes as uploaded."""
    file = get_or_404(session, File, file_id, project=caller.project)
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
def export_rows(file_id: ObjectId, caller: DatasetsRead, session: Database) -> Response:
    """Download the accepted rows in their original form, as JSONL whatever the format of the file."""
    file = processed_file(session, file_id, project=caller.project)
    name = f"{file.filename.rpartition('.')[0] or file.filename}.jsonl"
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    return StreamingResponse(exported_lines(file), media_type="application/jsonl", headers=headers)


@router.get(
    "/{file_id}/images/{sha256}",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, 304: {"description": "Not modified."}},
)
def get_image(
    file_id: ObjectId,
    sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
    request: Request,
    caller: DatasetsRead,
    session: Database,
) -> Response:
    """Return an image of the file's rows, by the SHA-256 that a row lists."""
    if not has_image(session, processed_file(session, file_id, project=caller.project), sha256):
        raise not_found("image of this file", sha256)
    return image_response(request, blobs.read(session, sha256), sha256=sha256)


@router.get("/{file_id}/rows")
def list_rows(
    file_id: ObjectId,
    caller: DatasetsRead,
    number: Annotated[
        list[RowNumber] | None,
        Query(max_length=500, description="Only these rows, counted from 0; repeat the parameter for several."),
    ] = None,
    search: Search = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    order: Order = Order.ASC,
) -> Page[FileRow]:
    """List the file's rows in normal form. `search` covers question and reference, as the filter `text` does."""
    with transaction(project=caller.project) as session, search_limit(session, advice="select the rows by number"):
        rows = rows_of(processed_file(session, file_id, project=caller.project), numbers=number, search=search)
        query, position = PageQuery(after, limit, order), partial(numbers_in_id, pattern=r"row-(\d+)")
        return page_of(session, rows, query, to_item=_row_object, position=position)


def read_as_preferred(file: File, prefer: str, response: Response, *, on_bad_rows: OnBadRows) -> None:
    """Read the rows of a stored file before the response, or after it if the `Prefer` header says so."""
    if RESPOND_ASYNC.search(prefer):
        read_in_background(file, on_bad_rows=on_bad_rows)
        response.status_code = 202
        response.headers["preference-applied"] = "respond-async"
    else:
        read_now(file, on_bad_rows=on_bad_rows)


def file_object(file: File) -> FileObject:
    return FileObject(
        id=file.id,
        bytes=file.size_bytes,
        created_at=unix_s(file.created_at),
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


def _row_object(stored: DatasetRow) -> FileRow:
    row = NormalRow.from_json(stored.normal, number=stored.number, line=stored.line)
    return FileRow(row=row.number, line=row.line, **row.to_json())
