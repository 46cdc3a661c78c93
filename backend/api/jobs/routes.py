"""`/v1/fine_tuning/jobs`: create, get, cancel, pause, resume; events and checkpoints. In OpenAI's format."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from backend.api.http.dependencies import Database, JobOfPath
from backend.api.http.paging import After, Limit, ListItem, Order, Page, PageParams, PageQuery, page, page_of
from backend.api.http.rights import JobsRead, JobsWrite
from backend.api.jobs.job_object import JobObject, job_object, with_results
from backend.base_models import base_models
from backend.core.control import EventLevel
from backend.db.base import unix_s
from backend.db.jobs import Job, JobEvent, events_of, jobs_of
from backend.db.training import Checkpoint, checkpoints_of, sizes_of_checkpoints
from backend.errors import AppError
from backend.jobs import control
from backend.jobs.checks import detailed_checks
from backend.jobs.create import create_job
from backend.jobs.delete import delete_job
from backend.jobs.lifecycle import JobState
from backend.jobs.request import JobRequest

router = APIRouter(prefix="/fine_tuning/jobs", tags=["jobs"])

MAX_NAME_CHARACTERS = 200
METADATA = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    "description": "`metadata[key]=value`: only jobs with it. `metadata=null`: only jobs without metadata.",
}
"""A parameter with names of the caller's choice, which no parameter of a function can be."""


class EventObject(ListItem):
    """OpenAI's event; `code` is stable, so programs can match on it."""

    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: EventLevel
    message: str
    type: Literal["message"] = "message"
    data: dict[str, Any] | None
    code: str


class CheckpointMetrics(BaseModel):
    """`x_score` is the mean score on held-out questions, if it was measured at this step; of a job that keeps the best
    step, on those that choose it."""

    step: int
    x_score: float | None


class CheckpointObject(ListItem):
    """OpenAI's checkpoint object. `x_size_bytes`: size of the adapter and the training state."""

    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: CheckpointMetrics
    x_size_bytes: int


class JobDeleted(BaseModel):
    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    deleted: bool = True


class JobChecksInFull(BaseModel):
    """Full results, `{verdict, summary, findings, ...}` each; None: not run. The job's `x_checks` is the summary."""

    object: Literal["fine_tuning.job.checks"] = "fine_tuning.job.checks"
    self_check: dict[str, Any] | None
    preflight: dict[str, Any] | None
    overridden_at: int | None


@router.post("")
def create(body: JobRequest, caller: JobsWrite, session: Database) -> JobObject:
    """Create a job and queue it. Unsupported parameters are refused by name."""
    return job_object(session, create_job(session, body, project=caller.project, models=base_models()))


@router.get("", openapi_extra={"parameters": [METADATA]})
def list_jobs(
    request: Request,
    caller: JobsRead,
    session: Database,
    query: PageParams,
    status: Annotated[
        list[JobState] | None,
        Query(max_length=len(JobState), description="Any of these; repeat the parameter for several."),
    ] = None,
    name: Annotated[
        str | None,
        Query(min_length=1, max_length=MAX_NAME_CHARACTERS, description="Part of name, model or id, case-insensitive."),
    ] = None,
) -> Page[JobObject]:
    """List jobs, newest first."""
    if name is not None and "\0" in name:
        raise AppError("The name contains a NUL character.", code="invalid_value", param="name")
    metadata, without_metadata = _metadata_filters(request)
    jobs = jobs_of(
        caller.project, states=status, part_of_name=name, metadata=metadata, without_metadata=without_metadata
    )
    found = page_of(session, jobs, query, to_item=lambda job: job_object(session, job))
    return with_results(session, found, project=caller.project)


@router.get("/{job_id}")
def get_job(job: JobOfPath, _: JobsRead, session: Database) -> JobObject:
    """Return a job."""
    return with_results(session, page([job_object(session, job)]), project=job.project_id).data[0]


@router.delete("/{job_id}")
def remove_job(job: JobOfPath, _: JobsWrite, session: Database) -> JobDeleted:
    """Delete a job with all its data and its adapter. 409 if it has not ended, or is a run of a comparison."""
    delete_job(session, job)
    return JobDeleted(id=job.id)


@router.post("/{job_id}/cancel")
def cancel_job(job: JobOfPath, _: JobsWrite, session: Database) -> JobObject:
    """Cancel a job, at the next step if a worker is running it."""
    return job_object(session, control.cancel(session, job))


@router.post("/{job_id}/pause")
def pause_job(job: JobOfPath, _: JobsWrite, session: Database) -> JobObject:
    """Pause a job at the next step, with a checkpoint."""
    return job_object(session, control.pause(session, job))


@router.post("/{job_id}/resume")
def resume_job(job: JobOfPath, _: JobsWrite, session: Database) -> JobObject:
    """Resume a job from its last checkpoint."""
    return job_object(session, control.resume(session, job))


@router.get("/{job_id}/events")
def list_events(job: JobOfPath, _: JobsRead, session: Database, query: PageParams) -> Page[EventObject]:
    """List the job's events, newest first."""
    return page_of(session, events_of(job), query, to_item=event_object)


@router.get("/{job_id}/checkpoints")
def list_checkpoints(
    job: JobOfPath, _: JobsRead, session: Database, after: After = None, limit: Limit = 10, order: Order = Order.DESC
) -> Page[CheckpointObject]:
    """List the checkpoints that are kept: the latest and the best."""
    sizes = sizes_of_checkpoints(session, job)
    return page_of(
        session,
        checkpoints_of(job),
        PageQuery(after, limit, order),
        to_item=lambda checkpoint: _checkpoint_object(checkpoint, job, size_bytes=sizes[checkpoint.id]),
    )


@router.get("/{job_id}/checks")
def get_checks(job: JobOfPath, _: JobsRead) -> JobChecksInFull:
    """Return the full results of the checks before training."""
    return JobChecksInFull.model_validate(detailed_checks(job))


def event_object(event: JobEvent) -> EventObject:
    return EventObject.model_validate(
        {
            "id": event.id,
            "created_at": unix_s(event.created_at),
            "level": event.level,
            "message": event.message,
            "data": event.data,
            "code": event.code,
        }
    )


def _checkpoint_object(checkpoint: Checkpoint, job: Job, *, size_bytes: int) -> CheckpointObject:
    return CheckpointObject(
        id=checkpoint.id,
        created_at=unix_s(checkpoint.created_at),
        fine_tuned_model_checkpoint=f"{job.adapter_name}:ckpt-step-{checkpoint.step}",
        fine_tuning_job_id=job.id,
        step_number=checkpoint.step,
        metrics=CheckpointMetrics(step=checkpoint.step, x_score=checkpoint.score),
        x_size_bytes=size_bytes,
    )


def _metadata_filters(request: Request) -> tuple[list[tuple[str, str]], bool]:
    """Return the keys and values that jobs must have, and whether they must have none."""
    required, none = [], False
    for name, value in request.query_params.multi_items():
        key = re.fullmatch(r"metadata\[(.*)\]", name, re.DOTALL)
        if key is not None:
            if "\0" in key[1] + value:
                raise AppError("A metadata filter contains a NUL character.", code="invalid_value", param="metadata")
            required.append((key[1], value))
        elif name == "metadata":
            if value != "null":
                raise AppError(
                    "Filter with metadata[key]=value or metadata=null.", code="invalid_value", param="metadata"
                )
            none = True
    return required, none
