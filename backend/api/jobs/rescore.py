"""`/v1/fine_tuning/jobs/{id}/rescore`: what a job wrote, under another verifier. A worker grades; the check tells."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from backend.api.checks import CheckObject, shown_check, words_of
from backend.api.http.dependencies import Auth, Database, JobOfPath
from backend.checks import request_check
from backend.db.files import File
from backend.errors import AppError
from backend.jobs.create import require_grader_fits
from backend.jobs.rescore import KIND, chosen
from backend.verifiers.saved import resolve_grader
from backend.verifiers.specs import spec_json

MAX_STEP = 10**9
MAX_COMPLETIONS = 20_000

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["runs"])

StepNumber = Annotated[int | None, Field(ge=1, le=MAX_STEP)]


class StepRange(BaseModel):
    """Both ends belong to it; one that is left out is open."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    first: StepNumber = Field(None, alias="from")
    last: StepNumber = Field(None, alias="to")


class RescoreRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    grader: dict[str, Any] = Field(description='A grader object, or {"type": "saved", "id", "version"?}.')
    steps: StepRange = Field(default_factory=StepRange)
    limit: int = Field(2000, ge=1, le=MAX_COMPLETIONS, description="Completions at most, the newest.")


@router.post("/rescore")
def rescore_job(body: RescoreRequest, job: JobOfPath, _: Auth, session: Database) -> CheckObject:
    """Grade stored completions of training again. The answer is a check of the kind `rescore`; nothing of the job
    changes.
    """
    spec, verifier = resolve_grader(session, body.grader, param="grader")
    first, last = body.steps.first, body.steps.last
    if first is not None and last is not None and first > last:
        raise AppError(f"'steps' goes from {first} to {last}: the first must not be later.", param="steps.from")
    if session.scalar(select(chosen(job.id, first=first, last=last).exists())) is False:
        where = "" if first is None and last is None else f" in steps {first or 1} to {last or job.step}"
        raise AppError(
            f"Job '{job.id}' has no stored completions{where}: there is nothing to score again.",
            code="no_rollouts",
            param="steps" if where else None,
        )
    file = session.get_one(File, job.training_file)
    require_grader_fits(session, spec, file=file, param="training_file", grader_param="grader")
    request = {
        "grader": spec_json(spec),
        "verifier": None if verifier is None else {"id": verifier.id, "version": verifier.version},
        "first": first,
        "last": last,
        "limit": body.limit,
        "job_id": job.id,
    }
    return shown_check(request_check(session, kind=KIND, request=request, asked=words_of(body), job_id=job.id))
