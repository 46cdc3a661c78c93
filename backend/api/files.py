"""`/v1/files`: datasets up and down. The rows are read while the file is stored; a bad line refuses the whole."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from starlette.datastructures import FormData, UploadFile

from backend.api.deps import Auth, Database, ObjectId, found
from backend.api.downloads import download
from backend.api.paging import After, ListItem, Order, Page, cut, numbers_of, place_of
from backend.datasets.rows import NormalRow
from backend.datasets.shapes import ColumnMapping, parse_mapping
from backend.datasets.store import delete_file, store_dataset
from backend.db.base import unix_s
from backend.db.files import DatasetRow, File
from backend.errors import AppError
from backend.settings import settings

PURPOSE = "fine-tune"
FIELDS = ("file", "purpose", "mapping")
MAX_FIELD_BYTES = 16 * 1024
MAX_NAME_CHARACTERS = 255

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
    line: int
    code: str
    message: str


class FileReport(BaseModel):
    """`columns`: where question, answer, solution and hint were found. `with_…`: rows that have one; `null` where the
    file was read before they were counted. `with_privileged`: those that say what a teacher is to be told."""

    rows: int
    good: int
    bad: int
    shape: str | None
    columns: dict[str, str | None]
    with_answer: int
    with_solution: int
    with_trajectory: int | None = None
    with_privileged: int | None = None
    problems: list[FileProblem]


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


@dataclass(frozen=True, slots=True)
class Upload:
    content: BinaryIO
    filename: str
    mapping: ColumnMapping | None


UPLOAD_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "JSON Lines, UTF-8."},
                        "purpose": {"const": PURPOSE},
                        "mapping": {
                            "type": "string",
                            "description": 'JSON: {"question": column, "answer": column, "hint"?: column}.',
                        },
                    },
                }
            }
        },
    }
}


async def uploaded(request: Request, _: Auth) -> AsyncIterator[Upload]:
    """The form, read only once the caller is known; the file passes through a temporary file, not through memory."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise AppError("Send the file as multipart/form-data.", code="invalid_value", param="file")
    async with request.form(max_files=1, max_fields=len(FIELDS), max_part_size=MAX_FIELD_BYTES) as form:
        yield _upload(form)


@router.post("", openapi_extra=UPLOAD_SCHEMA)
def create_file(upload: Annotated[Upload, Depends(uploaded)], _: Auth, session: Database) -> FileObject:
    """Store a dataset. A line that cannot be used refuses the file, naming the line, and nothing is kept."""
    return _shown(store_dataset(session, upload.content, filename=upload.filename, mapping=upload.mapping))


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
def get_report(file_id: ObjectId, _: Auth, session: Database) -> FileReport:
    return FileReport.model_validate(found(session, File, file_id, kind="file").report)


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


def _upload(form: FormData) -> Upload:
    seen: set[str] = set()
    for name, _ in form.multi_items():
        if name not in FIELDS or name in seen:
            raise AppError(
                f"The form field '{name:.100}' is {'given twice' if name in FIELDS else 'not supported'}.",
                code="unknown_parameter",
                param=name[:100],
            )
        seen.add(name)
    file, purpose, mapping = (form.get(name) for name in FIELDS)
    if purpose != PURPOSE:
        raise AppError(
            f"purpose must be '{PURPOSE}': other files have no use here.", code="invalid_purpose", param="purpose"
        )
    if not isinstance(file, UploadFile):
        raise AppError("Missing required parameter: 'file'.", code="missing_required_parameter", param="file")
    if (file.size or 0) > settings().max_upload_bytes:
        raise AppError(
            f"The file is larger than {settings().max_upload_bytes} bytes.",
            status=413,
            code="file_too_large",
            param="file",
        )
    if isinstance(mapping, UploadFile):
        raise AppError("mapping must be a text field.", code="invalid_mapping", param="mapping")
    return Upload(
        content=file.file, filename=_clean_name(file.filename), mapping=parse_mapping(mapping) if mapping else None
    )


def _clean_name(name: str | None) -> str:
    """The last part of a path, without what a database or a header cannot hold."""
    last = (name or "").replace("\\", "/").rpartition("/")[2].encode(errors="replace").decode()
    return "".join(c for c in last if c.isprintable())[:MAX_NAME_CHARACTERS] or "dataset.jsonl"
