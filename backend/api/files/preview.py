"""`/v1/files/preview`: how a file would be read, without storing it."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from backend.api.files.reports import FileProblem
from backend.api.files.upload_form import UPLOAD_SCHEMA, Upload, parse_upload
from backend.api.http.operations import stores_nothing
from backend.api.http.rights import DatasetsWrite
from backend.datasets.reading.preview import preview_isolated
from backend.datasets.rows.references import Reference
from backend.datasets.rows.rows import HintText

router = APIRouter(prefix="/files", tags=["files"])


class PreviewedNormal(BaseModel):
    """A row in normal form, with long texts truncated; images as data URLs, null if too large."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    reference: Reference
    hint: HintText | None
    images: list[str | None]


class PreviewedRow(BaseModel):
    """A row as written in the file (`item`) and as it would be read (`normal`)."""

    line: int
    item: dict[str, Any]
    normal: PreviewedNormal | None


class Refusal(BaseModel):
    message: str
    code: str | None


class FilePreview(BaseModel):
    """A preview. `shape` is the detected format, `made_for` its origin, `read_from` the columns it uses.

    `sheet`, of the visible `sheets` of a workbook, and `header_row`, the line with the column names, say where the
    table begins; `mapping` takes both. `notes`: what is read otherwise than it is written. `bad` of the
    first `looked_at` rows could not be read. `refused`: why the file could not be stored as it is; a
    `mapping` may help.
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
    problems: list[FileProblem]
    notes: list[str]
    sheet: str | None
    sheets: list[str]
    header_row: int | None
    refused: Refusal | None


@router.post("/preview", openapi_extra=UPLOAD_SCHEMA, dependencies=[Depends(stores_nothing)])
def preview_file(upload: Annotated[Upload, Depends(parse_upload)], _: DatasetsWrite) -> FilePreview:
    """Read the first rows of a file and return how they would be stored. Nothing is stored."""
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(upload.content, copy)
        copy.flush()
        return FilePreview.model_validate(
            preview_isolated(Path(copy.name), filename=upload.filename, mapping=upload.mapping)
        )
