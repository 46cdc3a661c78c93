"""`/v1/fine_tuning/preflight` and `/teacher-preview`: what to expect from a job before it is created.

A worker of the `sample` queue samples from the model; both return a check with progress and result.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from backend.api.checks import CheckObject, check_object, request_json
from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database, get_or_404
from backend.api.http.rights import JobsWrite
from backend.base_models import base_models
from backend.checks import request_check, wait_for_check
from backend.core.checks import CheckKind
from backend.core.settings.measuring import MAX_INSTRUCTION
from backend.db.checks import Check
from backend.db.engine import transaction
from backend.errors import AppError
from backend.jobs.preflight import preflight_request, preview_request
from backend.settings import settings

MAX_ROWS = 256
MAX_SAMPLES = 64

router = APIRouter(prefix="/fine_tuning", tags=["checks"])


class PreflightTrial(RequestBody):
    """The fields shared with a job request, validated in the same way."""

    model: str = Field(min_length=1, max_length=300)
    training_file: str = Field(max_length=200)
    x_rlsd: dict[str, Any] = Field(
        default_factory=dict, description="RlsdSettings (`rlsd settings`); the preset provides the others."
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class PreflightRequest(PreflightTrial):
    grader: dict[str, Any] = Field(description='A grader object, or {"type": "saved", "id", "version"?}.')
    rows: int = Field(16, ge=1, le=MAX_ROWS, description="Number of rows, chosen at random with the seed.")
    samples: int = Field(8, ge=1, le=MAX_SAMPLES, description="Completions per row, and as many again with the hint.")
    instructions: (
        Annotated[list[Annotated[str, Field(max_length=MAX_INSTRUCTION)]], Field(min_length=2, max_length=2)] | None
    ) = Field(
        None,
        description="Two instructions to compare, in place of `x_rlsd.instruction`: the report is of the first, and "
        "the same rows are also answered under the second.",
    )


class TeacherPreviewRequest(PreflightTrial):
    grader: dict[str, Any] | None = Field(
        None, description="Required for the hint `grader`: the values that the grader looks up."
    )
    row: int = Field(ge=0, lt=2**31, description="Row of the file, from 0.")


@router.post("/preflight")
def preflight(body: PreflightRequest, caller: JobsWrite, session: Database) -> CheckObject:
    """Sample from the base model and score: how often rows are solved, whether groups will be mixed, whether the hint
    helps, and how long training will take. The result is `{verdict, summary, findings, ...}`.
    """
    request = preflight_request(
        session,
        project=caller.project,
        model=body.model,
        training_file=body.training_file,
        grader=body.grader,
        x_rlsd=body.x_rlsd,
        seed=body.seed,
        rows=body.rows,
        samples=body.samples,
        instructions=body.instructions,
        models=base_models(),
    )
    return check_object(
        request_check(
            session,
            project=caller.project,
            kind=CheckKind.PREFLIGHT,
            request=request,
            body=request_json(body),
            file_id=body.training_file,
        )
    )


@router.post("/teacher-preview")
def teacher_preview(body: TeacherPreviewRequest, caller: JobsWrite) -> CheckObject:
    """Return the exact prompts of a row: the student's, and the teacher's with its hint.

    Waits for the check; if it takes too long, the response is the check so far, to be polled.
    """
    with transaction(project=caller.project) as session:
        request = preview_request(
            session,
            project=caller.project,
            model=body.model,
            training_file=body.training_file,
            grader=body.grader,
            x_rlsd=body.x_rlsd,
            seed=body.seed,
            row=body.row,
            models=base_models(),
        )
        check_id = request_check(
            session,
            project=caller.project,
            kind=CheckKind.TEACHER_PREVIEW,
            request=request,
            body=request_json(body),
            file_id=body.training_file,
        ).id
    try:
        wait_for_check(check_id, project=caller.project, timeout_s=settings().check_timeout_s)
    except AppError as error:
        if error.code != "no_worker":
            raise
    with transaction(project=caller.project) as session:
        return check_object(get_or_404(session, Check, check_id, project=caller.project))
