"""A job as OpenAI's `fine_tuning.job`; `x_…` are fields that OpenAI's object does not have."""

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from backend.api.http.paging import ListItem, Page
from backend.api.jobs.result_object import ResultObject, result_object
from backend.core.verdict import Finding, Level
from backend.db.base import unix_s, utc_now
from backend.db.jobs import Job, count_before, jobs_by_id
from backend.jobs.checks import checks_of
from backend.jobs.lifecycle import JobState
from backend.jobs.result import results_of
from backend.jobs.time_left import seconds_left
from backend.verifiers.selfcheck_result import AlteredAnswer, ReferenceReading


class JobError(BaseModel):
    code: str
    message: str
    param: str | None


class Progress(BaseModel):
    """The progress of a job. `max_steps` includes the first `warm_steps`, those of a warm start.
    `eta_s`: seconds to the last step at the current pace, evaluations included; None while
    unknown. `queue_before`: how many jobs wait before this one, which waits too; None otherwise. Times are Unix
    seconds."""

    step: int
    max_steps: int
    warm_steps: int
    eta_s: float | None
    started_at: int | None
    progress_at: int | None
    queue_before: int | None = None


class CheckVerdict(BaseModel):
    """The outcome of a check before training; details are at `/checks` of the job."""

    verdict: Level
    summary: str
    findings: list[Finding]


class SelfCheckResult(CheckVerdict):
    """The result of a check of the kind `self_check`. `full_marks` is the best score of a right answer; `errors`,
    `timeouts` and `abstentions` count `calls`. `probes` are the columns of the matrix in `rows`. Results of earlier
    releases lack what is not required."""

    rows_checked: int
    rows_asked: int
    calls: int
    full_marks: float
    errors: int
    timeouts: int
    abstentions: int
    median_ms: float | None
    max_ms: float | None
    probes: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    readings: list[ReferenceReading] = []
    altered: list[AlteredAnswer] = []


class JobChecks(BaseModel):
    """The checks before training; None: not run. `overridden_at`: when a failed one was overridden, in Unix seconds."""

    self_check: CheckVerdict | None
    preflight: CheckVerdict | None
    overridden_at: int | None


class JobHyperparameters(BaseModel):
    n_epochs: int | Literal["auto"]
    batch_size: int
    learning_rate_multiplier: float | Literal["auto"]


class JobObject(ListItem):
    """OpenAI's job object. `method.reinforcement` contains the grader at creation, in `x_rlsd` every resolved setting
    and in `x_asked` those that the request set. `x_result` is None until the held-out questions are measured after
    training."""

    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    status: JobState
    model: str
    fine_tuned_model: str | None
    organization_id: str = "local"
    training_file: str
    validation_file: str | None
    result_files: list[str] = Field(default_factory=list)
    seed: int
    trained_tokens: int
    estimated_finish: int | None
    error: JobError | None
    hyperparameters: JobHyperparameters
    integrations: list[Any] = Field(default_factory=list)
    metadata: dict[str, str] | None
    method: dict[str, Any]
    user_provided_suffix: str | None
    x_progress: Progress
    x_checks: JobChecks
    x_result: ResultObject | None = None


def with_results(session: Session, found: Page[JobObject], *, project: str) -> Page[JobObject]:
    """Add the results of a page of the project's jobs."""
    results = results_of(session, jobs_by_id(session, [job.id for job in found.data], project=project))
    for job in found.data:
        job.x_result = result_object(results.get(job.id))
    return found


def job_object(session: Session, job: Job) -> JobObject:
    """Describe a job without its result."""
    eta_s = seconds_left(session, job)
    finish = None if eta_s is None else unix_s(utc_now() + timedelta(seconds=eta_s))
    requested = job.request["method"]["reinforcement"].get("hyperparameters", {})
    hyperparameters = JobHyperparameters(
        n_epochs=requested.get("n_epochs", "auto"),
        batch_size=job.spec["batch_size"],
        learning_rate_multiplier=requested.get("learning_rate_multiplier", "auto"),
    )
    return JobObject(
        id=job.id,
        created_at=unix_s(job.created_at),
        finished_at=unix_s(job.finished_at),
        status=JobState(job.state),
        model=job.model,
        fine_tuned_model=job.fine_tuned_model,
        training_file=job.training_file,
        validation_file=job.validation_file,
        seed=job.seed,
        trained_tokens=job.trained_tokens,
        estimated_finish=finish,
        error=None if job.error is None else JobError.model_validate(job.error),
        hyperparameters=hyperparameters,
        metadata=job.job_metadata,
        method=_method(job, hyperparameters),
        user_provided_suffix=job.suffix,
        x_progress=Progress(
            step=job.step,
            max_steps=job.max_steps,
            warm_steps=job.warm_steps,
            eta_s=eta_s,
            started_at=unix_s(job.started_at),
            progress_at=unix_s(job.progress_at),
            queue_before=count_before(session, job, state=JobState.QUEUED) if job.state == JobState.QUEUED else None,
        ),
        x_checks=JobChecks.model_validate(checks_of(job)),
    )


def _method(job: Job, hyperparameters: JobHyperparameters) -> dict[str, Any]:
    requested = job.request["method"]["reinforcement"]
    reinforcement = {
        "grader": job.grader,
        "hyperparameters": hyperparameters.model_dump()
        | {"eval_interval": job.spec["eval_interval"], "eval_samples": job.spec["eval_samples"]},
        "x_rlsd": job.spec,
        "x_asked": requested.get("x_rlsd", {}),
    }
    if requested["grader"].get("type") == "saved":
        reinforcement["x_verifier"] = {name: requested["grader"].get(name) for name in ("id", "version", "name")}
    return {"type": "reinforcement", "reinforcement": reinforcement}
