"""`/v1/files/preview`: how a file would be read, before it is stored."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from backend.api.files.upload_form import UPLOAD_SCHEMA, Upload, uploaded
from backend.api.http.dependencies import Auth
from backend.datasets.reading.preview import preview_apart

router = APIRouter(prefix="/files", tags=["files"])


class PreviewedNormal(BaseModel):
    """The normal form, long texts shortened; images as data URLs, null where one is large."""

    messages: list[dict[str, Any]]
    reference: dict[str, str | None]
    hint: dict[str, str] | None
    images: list[str | None]


class PreviewedRow(BaseModel):
    """`item` as it was written, `normal` as it would be read."""

    line: int
    item: dict[str, Any]
    normal: PreviewedNormal | None


class Refusal(BaseModel):
    message: str
    code: str | None


class FilePreview(BaseModel):
    """`shape` is the rule that fits, `made_for` whose files it is the rule of, `read_from` the columns it takes.

    The first `looked_at` rows were read, of which `bad` could not be. `refused`: why the file could not be stored as it
    is; a `mapping` may help.
    """

    object: str = "file.preview"
    format: str
    shape: str | None
    made_for: str | None
    columns: list[str]
    read_from: dict[str, str | None]
    looked_at: int
    bad: int
    rows: list[PreviewedRow]
    problems: list[dict[str, Any]]
    refused: Refusal | None


@router.post("/preview", openapi_extra=UPLOAD_SCHEMA)
def preview_file(upload: Annotated[Upload, Depends(uploaded)], _: Auth) -> FilePreview:
    """Read the first rows of a file and tell what would become of them. Nothing is stored."""
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(upload.content, copy)
        copy.flush()
        return FilePreview.model_validate(
            preview_apart(Path(copy.name), filename=upload.filename, mapping=upload.mapping)
        )
