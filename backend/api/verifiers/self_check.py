"""`/v1/verifiers/check`: is this verifier fit to train with? Tried in a worker's sandbox on rows of a file."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from backend.api.checks import CheckObject, shown_check, words_of
from backend.api.http.dependencies import Auth, Database
from backend.checks import request_check
from backend.jobs.create import require_file, require_grader_fits
from backend.verifiers.saved import resolve_grader
from backend.verifiers.selfcheck import spread
from backend.verifiers.specs import spec_json

MAX_ROWS = 64

router = APIRouter(prefix="/verifiers", tags=["verifiers"])


class SelfCheckRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    grader: dict[str, Any] = Field(description='A grader object, or {"type": "saved", "id", "version"?}.')
    file: str = Field(max_length=200)
    rows: int = Field(16, ge=1, le=MAX_ROWS, description="Rows tried, evenly apart in the file.")


@router.post("/check")
def check_verifier(body: SelfCheckRequest, _: Auth, session: Database) -> CheckObject:
    """Try right answers in many forms, and texts that must not score. The check tells progress; its result is
    `{verdict, summary, findings, full_marks, probes, rows: [{row, answer, cells}], ...}`.
    """
    spec, _verifier = resolve_grader(session, body.grader, param="grader")
    file = require_file(session, body.file, param="file")
    require_grader_fits(session, spec, file=file, param="file", grader_param="grader")
    request = {
        "grader": spec_json(spec),
        "file_id": file.id,
        "rows": spread(body.rows, over=file.row_count),
    }
    return shown_check(
        request_check(session, kind="self_check", request=request, asked=words_of(body), file_id=file.id)
    )
