"""`/v1/fine_tuning/jobs/{id}/rescore`: scores a job's completions with another verifier, as a check by a worker."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from backend.api.checks import CheckObject, check_object, request_json
from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database, JobOfPath
from backend.api.http.rights import JobsWrite
from backend.checks import request_check
from backend.core.checks import CheckKind
from backend.db.jobs import training_file_of
from backend.errors import AppError
from backend.jobs.create import fit_grader
from backend.jobs.rescore import has_rollouts
from backend.verifiers.saved import resolve_grader
from backend.verifiers.specs import spec_json

MAX_STEP = 10**9
MAX_COMPLETIONS = 20_000

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["jobs"])

StepNumber = Annotated[int | None, Field(ge=1, le=MAX_STEP)]


class StepRange(RequestBody):
    """A range of steps, both ends included; an omitted end is open."""

    model_config = ConfigDict(populate_by_name=True)

    first: StepNumber = Field(None, alias="from")
    last: StepNumber = Field(None, alias="to")


class RescoreRequest(RequestBody):
    grader: dict[str, Any] = Field(description='A grader object, or {"type": "saved", "id", "version"?}.')
    steps: StepRange = Field(default_factory=StepRange)
    limit: int = Field(2000, ge=1, le=MAX_COMPLETIONS, description="Most completions to score, newest first.")


@router.post("/rescore")
def rescore_job(body: RescoreRequest, job: JobOfPath, _: JobsWrite, session: Database) -> CheckObject:
    """Score stored completions of training again. Returns a check of the kind `rescore`; the job does not change."""
    spec, verifier = resolve_grader(session, body.grader, project=job.project_id, param="grader")
    first, last = body.steps.first, body.steps.last
    if first is not None and last is not None and first > last:
        raise AppError(f"'steps' is from {first} to {last}: 'from' must not be greater than 'to'.", param="steps.from")
    if not has_rollouts(session, job, first=first, last=last):
        where = "" if first is None and last is None else f" in steps {first or 1} to {last or job.step}"
        raise AppError(
            f"Job '{job.id}' has no stored completions{where} to score again.",
            code="no_rollouts",
            param="steps" if where else None,
        )
    file = training_file_of(session, job)
    spec, notices = fit_grader(session, spec, file=file, param="training_file", grader_param="grader")
    request = {
        "grader": spec_json(spec),
        "verifier": None if verifier is None else {"id": verifier.id, "version": verifier.version},
        "first": first,
        "last": last,
        "limit": body.limit,
        "job_id": job.id,
        "notices": [asdict(notice) for notice in notices],
    }
    return check_object(
        request_check(
            session,
            project=job.project_id,
            kind=CheckKind.RESCORE,
            request=request,
            body=request_json(body),
            job_id=job.id,
        )
    )
