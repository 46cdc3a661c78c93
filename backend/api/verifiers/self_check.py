"""`/v1/verifiers/check`: checks whether a verifier is fit for training, in a worker's sandbox, on rows of a file."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from backend.api.checks import CheckObject, check_object, request_json
from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database
from backend.api.http.rights import VerifiersWrite
from backend.checks import request_check
from backend.core.checks import CheckKind
from backend.jobs.create import fit_grader, require_file
from backend.verifiers.saved import resolve_grader
from backend.verifiers.selfcheck import spread
from backend.verifiers.specs import spec_json

MAX_ROWS = 64

router = APIRouter(prefix="/verifiers", tags=["verifiers"])


class SelfCheckRequest(RequestBody):
    grader: dict[str, Any] = Field(description='A grader object, or {"type": "saved", "id", "version"?}.')
    file: str = Field(max_length=200)
    rows: int = Field(16, ge=1, le=MAX_ROWS, description="Number of rows to try, evenly spaced in the file.")


@router.post("/check")
def check_verifier(body: SelfCheckRequest, caller: VerifiersWrite, session: Database) -> CheckObject:
    """Try right answers in many forms, and texts that must not score. Returns a check; its result is
    `{verdict, summary, findings, full_marks, probes, rows: [{row, answer, cells}], readings: [{grader, reference, read,
    lost}], altered: [{row, change, label, reference, altered, text, score, status, full}], ...}`.
    """
    spec, _verifier = resolve_grader(session, body.grader, project=caller.project, param="grader")
    file = require_file(session, body.file, project=caller.project, param="file")
    spec, notices = fit_grader(session, spec, file=file, param="file", grader_param="grader")
    request = {
        "grader": spec_json(spec),
        "file_id": file.id,
        "rows": spread(body.rows, over=file.row_count),
        "notices": [asdict(notice) for notice in notices],
    }
    return check_object(
        request_check(
            session,
            project=caller.project,
            kind=CheckKind.SELF_CHECK,
            request=request,
            body=request_json(body),
            file_id=file.id,
        )
    )
