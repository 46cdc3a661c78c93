"""`/v1/uploads`: large files in parts, sent in parallel and in any order, as by OpenAI's clients."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from backend.api.files.routes import FileObject, Prefer, file_object, read_as_preferred
from backend.api.files.upload_form import (
    FORM_EXTRA_BYTES,
    MAX_NAME_CHARACTERS,
    clean_name,
    require_purpose,
    require_size,
)
from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import AnyCaller, Database, ObjectId, get_or_404, write_audit_entry
from backend.api.http.operations import BodyUpTo
from backend.api.http.paging import ListItem
from backend.api.http.rights import DatasetsRead, DatasetsWrite
from backend.datasets.reading import uploads
from backend.datasets.reading.store import OnBadRows
from backend.datasets.rows.shape import ColumnMapping
from backend.db.base import unix_s
from backend.db.engine import transaction
from backend.db.files import File
from backend.db.projects import find_owned
from backend.db.uploads import Upload, UploadStatus
from backend.errors import AppError
from backend.quotas import require_storage

router = APIRouter(prefix="/uploads", tags=["uploads"])


class UploadRequest(RequestBody):
    """OpenAI's body, with `mapping` and `on_bad_rows` as in `POST /v1/files`."""

    filename: str = Field(min_length=1, max_length=4 * MAX_NAME_CHARACTERS)
    purpose: str = Field(max_length=100, description="`fine-tune`.")
    bytes: int = Field(ge=1, le=2**50, strict=True, description="Size of the whole file.")
    mime_type: str = Field(max_length=255, description="Stored, but not used: the format is detected from the bytes.")
    mapping: ColumnMapping | None = None
    on_bad_rows: OnBadRows = OnBadRows.REJECT


class CompleteRequest(RequestBody):
    part_ids: list[str] = Field(
        min_length=1, max_length=uploads.MAX_PARTS, description="Ids of the parts, in the order of the file."
    )
    md5: str | None = Field(None, pattern="^[0-9a-fA-F]{32}$", description="MD5 of the whole file.")


class UploadObject(BaseModel):
    """OpenAI's upload; `file` is set once it is completed, while that file exists."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: UploadStatus
    expires_at: int
    file: FileObject | None = None


class PartObject(ListItem):
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


@dataclass(frozen=True, slots=True)
class Part:
    content: BinaryIO
    size_bytes: int


PART_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["data"],
                    "additionalProperties": False,
                    "properties": {
                        "data": {
                            "type": "string",
                            "format": "binary",
                            "description": f"At most {uploads.MAX_PART_BYTES} bytes.",
                        }
                    },
                }
            }
        },
    }
}


async def sent_part(upload_id: ObjectId, request: Request, caller: AnyCaller) -> AsyncIterator[Part]:
    """Parse the form, after checking that the upload is pending; holds no database connection meanwhile."""
    await run_in_threadpool(_require_pending, upload_id, caller.project)
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise AppError("Send the part as multipart/form-data.", code="invalid_value", param="data")
    async with request.form(max_files=1, max_fields=1) as form:
        yield _part(form)


def _require_pending(upload_id: str, project: str) -> None:
    with transaction(project=project) as session:
        uploads.pending_upload(session, upload_id, project=project, exclusive=False)


def _part(form: FormData) -> Part:
    unknown = next((name for name in form if name != "data"), None)
    if unknown is not None:
        raise AppError(
            f"The form field '{unknown:.100}' is not supported.", code="unknown_parameter", param=unknown[:100]
        )
    data = form.get("data")
    if data is None:
        raise AppError("Missing required parameter: 'data'.", code="missing_required_parameter", param="data")
    if not isinstance(data, UploadFile):
        raise AppError("data must be sent as a file.", code="invalid_value", param="data")
    return Part(content=data.file, size_bytes=data.size or 0)


@router.post("")
def create_upload(body: UploadRequest, caller: DatasetsWrite, session: Database) -> UploadObject:
    """Create an upload. Its parts have to be sent and joined within an hour."""
    require_purpose(body.purpose)
    require_size(body.bytes, param="bytes")
    require_storage(session, project=caller.project, additional_bytes=body.bytes)
    announced = uploads.AnnouncedFile(
        filename=clean_name(body.filename),
        purpose=body.purpose,
        mime_type=body.mime_type,
        size_bytes=body.bytes,
        mapping=body.mapping,
        on_bad_rows=body.on_bad_rows,
    )
    return upload_object(uploads.begin(session, announced, project=caller.project), file=None)


@router.get("/{upload_id}")
def get_upload(upload_id: ObjectId, caller: DatasetsRead, session: Database) -> UploadObject:
    """Return an upload, until a day after it expires."""
    upload = get_or_404(session, Upload, upload_id, project=caller.project)
    file = None if upload.file_id is None else find_owned(session, File, upload.file_id, project=caller.project)
    return upload_object(upload, file=file)


@router.post(
    "/{upload_id}/parts",
    openapi_extra=PART_SCHEMA,
    dependencies=[Depends(BodyUpTo(lambda: uploads.MAX_PART_BYTES + FORM_EXTRA_BYTES))],
)
def add_part(
    upload_id: ObjectId, part: Annotated[Part, Depends(sent_part)], caller: DatasetsWrite, session: Database
) -> PartObject:
    """Add a part; parts may be sent in parallel."""
    stored = uploads.add_part(session, upload_id, part.content, project=caller.project, size_bytes=part.size_bytes)
    return PartObject(id=stored.id, created_at=unix_s(stored.created_at), upload_id=upload_id)


@router.post(
    "/{upload_id}/complete",
    responses={202: {"model": UploadObject, "description": "Joined; the rows are being read."}},
)
def complete_upload(
    upload_id: ObjectId,
    body: CompleteRequest,
    request: Request,
    response: Response,
    caller: DatasetsWrite,
    prefer: Prefer = "",
) -> UploadObject:
    """Join the parts to a file and read its rows, as `POST /v1/files` does (also with `Prefer: respond-async`).

    If the file is refused, it is not stored, and the upload can be completed again with another order of its parts.
    """
    with transaction(project=caller.project) as session:
        upload, file = uploads.join(session, upload_id, project=caller.project, part_ids=body.part_ids, md5=body.md5)
        write_audit_entry(session, request, caller)
    try:
        read_as_preferred(file, prefer, response, on_bad_rows=OnBadRows(upload.on_bad_rows))
    except AppError:
        with transaction(project=caller.project) as session:
            uploads.reopen(session, upload)
        raise
    with transaction(project=caller.project) as session:
        uploads.forget_parts(session, upload)
        return upload_object(upload, file=get_or_404(session, File, file.id, project=caller.project))


@router.post("/{upload_id}/cancel")
def cancel_upload(upload_id: ObjectId, caller: DatasetsWrite, session: Database) -> UploadObject:
    """Cancel an upload and delete its parts."""
    return upload_object(uploads.cancel(session, upload_id, project=caller.project), file=None)


def upload_object(upload: Upload, *, file: File | None) -> UploadObject:
    return UploadObject(
        id=upload.id,
        bytes=upload.size_bytes,
        created_at=unix_s(upload.created_at),
        filename=upload.filename,
        purpose=upload.purpose,
        status=uploads.status_of(upload),
        expires_at=unix_s(upload.expires_at),
        file=None if file is None else file_object(file),
    )
