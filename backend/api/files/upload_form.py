"""The multipart form of a dataset upload. Every field is known and bounded; invalid ones are refused by name."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import BinaryIO

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from backend.api.http.dependencies import AnyCaller
from backend.datasets.reading.store import OnBadRows
from backend.datasets.rows.shape import ColumnMapping, parse_mapping
from backend.errors import AppError
from backend.settings import settings

PURPOSE = "fine-tune"
FIELDS = ("file", "purpose", "mapping", "on_bad_rows")
MAX_FIELD_BYTES = 16 * 1024
FORM_EXTRA_BYTES = 64 * 1024
"""Size of a multipart body besides the file."""
MAX_NAME_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Upload:
    content: BinaryIO
    size_bytes: int
    filename: str
    mapping: ColumnMapping | None
    on_bad_rows: OnBadRows


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
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "JSONL, JSON, CSV, TSV or Parquet; plain, gzipped or in a ZIP with images/.",
                        },
                        "purpose": {"const": PURPOSE},
                        "mapping": {
                            "type": "string",
                            "description": 'JSON: {"question": column, "answer": column, "hint"?: column, '
                            '"images"?: column, "context"?: column, "first_choice"?: 0 or 1, "sheet"?: name, '
                            '"header_row"?: line}. Dots address nested fields, and ".*" ends the path of a list of '
                            "which any answer is right; question and answer can be left out where sheet, header_row "
                            "or first_choice is given.",
                        },
                        "on_bad_rows": {
                            "enum": list(OnBadRows),
                            "default": OnBadRows.REJECT,
                            "description": "Whether an invalid row makes the file invalid or is skipped.",
                        },
                    },
                }
            }
        },
    }
}


async def parse_upload(request: Request, _: AnyCaller) -> AsyncIterator[Upload]:
    """Parse the form, after authentication; the file is spooled to a temporary file, not held in memory."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise AppError("Send the file as multipart/form-data.", code="invalid_value", param="file")
    async with request.form(max_files=1, max_fields=len(FIELDS), max_part_size=MAX_FIELD_BYTES) as form:
        yield _upload(form)


def upload_body_bytes() -> int:
    """Return the largest size of a whole form."""
    return settings().max_upload_bytes + FORM_EXTRA_BYTES


def _upload(form: FormData) -> Upload:
    seen: set[str] = set()
    for name, _ in form.multi_items():
        if name not in FIELDS or name in seen:
            raise AppError(
                f"The form field '{name:.100}' is {'sent twice' if name in FIELDS else 'not supported'}.",
                code="unknown_parameter",
                param=name[:100],
            )
        seen.add(name)
    file, purpose, mapping, on_bad_rows = (form.get(name) for name in FIELDS)
    require_purpose(purpose)
    if not isinstance(file, UploadFile):
        raise AppError("Missing required parameter: 'file'.", code="missing_required_parameter", param="file")
    require_size(file.size or 0, param="file")
    if isinstance(mapping, UploadFile):
        raise AppError("mapping must be a text field.", code="invalid_mapping", param="mapping")
    if isinstance(on_bad_rows, UploadFile) or on_bad_rows not in (None, *OnBadRows):
        raise AppError(f"on_bad_rows must be one of {', '.join(OnBadRows)}.", code="invalid_value", param="on_bad_rows")
    return Upload(
        content=file.file,
        size_bytes=file.size or 0,
        filename=clean_name(file.filename),
        mapping=parse_mapping(mapping) if mapping else None,
        on_bad_rows=OnBadRows(on_bad_rows or OnBadRows.REJECT),
    )


def require_purpose(purpose: object) -> None:
    if purpose != PURPOSE:
        raise AppError(
            f"purpose must be '{PURPOSE}': other purposes are not supported.", code="invalid_purpose", param="purpose"
        )


def require_size(size_bytes: int, *, param: str) -> None:
    """Raise AppError 413 if a file is larger than the server accepts."""
    if size_bytes > settings().max_upload_bytes:
        raise AppError(
            f"The file is larger than {settings().max_upload_bytes} bytes.",
            status=413,
            code="file_too_large",
            param=param,
        )


def clean_name(name: str | None) -> str:
    """Return the last part of a path, without characters that a database or a header cannot contain."""
    last = (name or "").replace("\\", "/").rpartition("/")[2].encode(errors="replace").decode()
    return "".join(c for c in last if c.isprintable())[:MAX_NAME_CHARACTERS] or "dataset.jsonl"
