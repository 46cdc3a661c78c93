"""`/v1/files`: datasets up and down. The rows are read while the file is stored."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from backend.api.deps import Auth, Database, ObjectId, found
from backend.api.downloads import download
from backend.api.paging import After, ListItem, Order, Page, cut, numbers_of, place_of
from backend.api.upload_form import UPLOAD_SCHEMA, Upload, uploaded
from backend.datasets.overlap import overlap
from backend.datasets.rows import NormalRow
from backend.datasets.store import OnBadRows, delete_file, exported_lines, store_dataset
from backend.db.base import unix_s
from backend.db.files import DatasetRow, File
from backend.quotas import require_storage

router = APIRouter(prefix="/files", tags=["files"])


class FileObject(ListItem):
    """OpenAI's file object; `rows` and `shape` (the rule by which it was read) are ours."""

    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    status_details: str | None = None
    expires_at: int | None = None
    rows: int
    shape: str | None


class FileDeleted(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class FileProblem(BaseModel):
    """`line` counts from 1; a table without lines has `row` instead."""

    line: int | None = None
    row: int | None = None
    code: str
    message: str


class FileReport(BaseModel):
    """`columns`: where question, answer, solution and hint were found. `with_…`: rows that have one; `null` where the
    file was read before they were counted. `with_privileged`: those that say what a teacher is to be told.

    `problems` are of rows that were left out, `warnings` of rows that were taken: all are counted, the first thousand
    listed. `lengths`: spread of question and answer, in characters. `answers`: how often each short one occurs.
    `duplicates`: rows equal to an earlier one. `near_duplicates`: rows whose question is nearly that of an earlier one,
    of as many as were `checked`. `overlap`: rows shared with the file that `against` names, by whole row and question.
    """

    rows: int
    good: int
    bad: int
    shape: str | None
    columns: dict[str, str | None]
    with_answer: int
    with_solution: int
    with_trajectory: int | None = None
    with_privileged: int | None = None
    with_images: int | None = None
    problems: list[FileProblem]
    warned: int = 0
    warnings: list[FileProblem] = []
    format: str | None = None
    packing: str | None = None
    encoding: str | None = None
    on_bad_rows: OnBadRows = OnBadRows.REJECT
    lengths: dict[str, Any] | None = None
    answers: dict[str, Any] | None = None
    duplicates: dict[str, Any] | None = None
    near_duplicates: dict[str, Any] | None = None
    images: dict[str, int] | None = None
    overlap: dict[str, Any] | None = None


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


@router.post("", openapi_extra=UPLOAD_SCHEMA)
def create_file(upload: Annotated[Upload, Depends(uploaded)], _: Auth, session: Database) -> FileObject:
    """Store a dataset. A line that cannot be used refuses the file, naming the line, and nothing is kept; with
    `on_bad_rows=take_good` such lines are left out, and the report lists them."""
    require_storage(session, upload.size_bytes)
    return _shown(
        store_dataset(
            session,
            upload.content,
            filename=upload.filename,
            mapping=upload.mapping,
            on_bad_rows=upload.on_bad_rows,
        )
    )


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
    keys = (File.created_at, File.id)
    place = place_of(session, statement, id_column=File.id, keys=keys, after=after)
    return cut(session, statement, keys=keys, after=place, limit=limit, order=order, show=_shown)


@router.get("/{file_id}")
def get_file(file_id: ObjectId, _: Auth, session: Database) -> FileObject:
    return _shown(found(session, File, file_id, kind="file"))


@router.delete("/{file_id}")
def remove_file(file_id: ObjectId, _: Auth, session: Database) -> FileDeleted:
    """409 where a job was made from it."""
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


@router.get("/{file_id}/report")
def get_report(
    file_id: ObjectId,
    _: Auth,
    session: Database,
    against: Annotated[str | None, Query(max_length=100, description="Another file to compare with.")] = None,
) -> FileReport:
    report = FileReport.model_validate(found(session, File, file_id, kind="file").report)
    if against is not None:
        found(session, File, against, kind="file")
        report.overlap = overlap(session, file_id, against=against)
    return report


@router.get(
    "/{file_id}/export",
    response_class=Response,
    responses={200: {"content": {"application/jsonl": {}}}},
)
def export_rows(file_id: ObjectId, _: Auth, session: Database) -> Response:
    """The rows that were taken, as their author wrote them, in JSONL whatever the format of the file was."""
    file = found(session, File, file_id, kind="file")
    name = f"{file.filename.rpartition('.')[0] or file.filename}.jsonl"
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    return StreamingResponse(exported_lines(file_id), media_type="application/jsonl", headers=headers)


@router.get("/{file_id}/rows")
def list_rows(
    file_id: ObjectId,
    _: Auth,
    session: Database,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    order: Order = Order.ASC,
) -> Page[FileRow]:
    found(session, File, file_id, kind="file")
    return cut(
        session,
        select(DatasetRow).where(DatasetRow.file_id == file_id),
        keys=(DatasetRow.number,),
        after=numbers_of(after, pattern=r"row-(\d+)"),
        limit=limit,
        order=order,
        show=_shown_row,
    )


def _shown(file: File) -> FileObject:
    return FileObject(
        id=file.id,
        bytes=file.size_bytes,
        created_at=unix_s(file.created_at) or 0,
        filename=file.filename,
        purpose=file.purpose,
        rows=file.row_count,
        shape=file.shape,
    )


def _shown_row(stored: DatasetRow) -> FileRow:
    row = NormalRow.from_json(stored.normal, number=stored.number, line=stored.line)
    return FileRow(row=row.number, line=row.line, **row.to_json())
