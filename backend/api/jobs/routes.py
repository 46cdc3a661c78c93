"""`/v1/fine_tuning/jobs`: create, look at, cancel, pause, resume; events and checkpoints. In OpenAI's shapes."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlalchemy import Select, or_, select

from backend.api.http.dependencies import Auth, Database, JobOfPath, ObjectId
from backend.api.http.paging import After, Limit, ListItem, Order, Page, PageAsked, PageQuery, listed
from backend.api.jobs.job_object import JobObject, shown_job
from backend.db.base import unix_s
from backend.db.blobs import Blob
from backend.db.jobs import Job, JobEvent
from backend.db.training import Checkpoint
from backend.errors import AppError
from backend.jobs import control
from backend.jobs.checks import checks_in_full
from backend.jobs.create import create_job
from backend.jobs.delete import delete_job
from backend.jobs.lifecycle import JobState
from backend.jobs.request import JobRequest
from backend.settings import settings

router = APIRouter(prefix="/fine_tuning/jobs", tags=["jobs"])

MAX_NAME_CHARACTERS = 200


class EventObject(ListItem):
    """OpenAI's event; `code` is stable and may be matched by programs."""

    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message"] = "message"
    data: dict[str, Any] | None
    code: str


class CheckpointMetrics(BaseModel):
    """`x_score` is the mean score on held-out questions, where it was measured at this step."""

    step: int
    x_score: float | None


class CheckpointObject(ListItem):
    """`x_size_bytes`: what is kept to go on from it, the adapter among that."""

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
    """`{verdict, summary, findings, ...}` each, None where it was not carried out; see the job's `x_checks`."""

    object: Literal["fine_tuning.job.checks"] = "fine_tuning.job.checks"
    self_check: dict[str, Any] | None
    preflight: dict[str, Any] | None
    overridden_at: int | None


@router.post("")
def create(body: JobRequest, _: Auth, session: Database) -> JobObject:
    """Queue a training run. What cannot be honoured is refused with the parameter's name."""
    return shown_job(session, create_job(session, body, models=settings().models))


@router.get("")
def list_jobs(
    request: Request,
    _: Auth,
    session: Database,
    asked: PageAsked,
    status: Annotated[
        list[JobState] | None,
        Query(max_length=len(JobState), description="Any of these; name the parameter once for each."),
    ] = None,
    name: Annotated[
        str | None,
        Query(
            min_length=1, max_length=MAX_NAME_CHARACTERS, description="A part of name, model or id; case is no matter."
        ),
    ] = None,
) -> Page[JobObject]:
    """The newest first. `metadata[key]=value` and `metadata=null` leave out all others."""
    statement = _with_metadata(select(Job), request)
    if status is not None:
        statement = statement.where(Job.state.in_(status))
    if name is not None:
        if "\0" in name:
            raise AppError("The name holds a NUL character.", code="invalid_value", param="name")
        statement = statement.where(
            or_(*(part.icontains(name, autoescape=True) for part in (Job.suffix, Job.model, Job.id)))
        )
    return listed(
        session, statement, keys=(Job.created_at, Job.id), asked=asked, show=lambda job: shown_job(session, job)
    )


@router.get("/{job_id}")
def get_job(job: JobOfPath, _: Auth, session: Database) -> JobObject:
    return shown_job(session, job)


@router.delete("/{job_id}")
def remove_job(job_id: ObjectId, _: Auth, session: Database) -> JobDeleted:
    """With all it has left behind, its adapter too. 409 where it has not ended, or is a run of a comparison."""
    delete_job(session, job_id)
    return JobDeleted(id=job_id)


@router.post("/{job_id}/cancel")
def cancel_job(job_id: ObjectId, _: Auth, session: Database) -> JobObject:
    """At once where nobody works on it, else at the next step."""
    return shown_job(session, control.cancel(session, job_id))


@router.post("/{job_id}/pause")
def pause_job(job_id: ObjectId, _: Auth, session: Database) -> JobObject:
    """At the next step, with a checkpoint."""
    return shown_job(session, control.pause(session, job_id))


@router.post("/{job_id}/resume")
def resume_job(job_id: ObjectId, _: Auth, session: Database) -> JobObject:
    """Go on from the last checkpoint."""
    return shown_job(session, control.resume(session, job_id))


@router.get("/{job_id}/events")
def list_events(job: JobOfPath, _: Auth, session: Database, asked: PageAsked) -> Page[EventObject]:
    """The newest first."""
    statement = select(JobEvent).where(JobEvent.job_id == job.id)
    return listed(session, statement, keys=(JobEvent.number, JobEvent.id), asked=asked, show=shown_event)


@router.get("/{job_id}/checkpoints")
def list_checkpoints(
    job: JobOfPath, _: Auth, session: Database, after: After = None, limit: Limit = 10, order: Order = Order.DESC
) -> Page[CheckpointObject]:
    """Those that are kept: the last ones and the best."""
    statement = select(Checkpoint).where(Checkpoint.job_id == job.id)
    return listed(
        session,
        statement,
        keys=(Checkpoint.step, Checkpoint.id),
        asked=PageQuery(after, limit, order),
        show=lambda checkpoint: _shown_checkpoint(
            checkpoint, job, size_bytes=session.get_one(Blob, checkpoint.sha256).size_bytes
        ),
    )


@router.get("/{job_id}/checks")
def get_checks(job: JobOfPath) -> JobChecksInFull:
    """What was found before training, with every detail."""
    return JobChecksInFull.model_validate(checks_in_full(job))


def shown_event(event: JobEvent) -> EventObject:
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


def _shown_checkpoint(checkpoint: Checkpoint, job: Job, *, size_bytes: int) -> CheckpointObject:
    return CheckpointObject(
        id=checkpoint.id,
        created_at=unix_s(checkpoint.created_at) or 0,
        fine_tuned_model_checkpoint=f"{job.adapter_name}:ckpt-step-{checkpoint.step}",
        fine_tuning_job_id=job.id,
        step_number=checkpoint.step,
        metrics=CheckpointMetrics(step=checkpoint.step, x_score=checkpoint.score),
        x_size_bytes=size_bytes,
    )


def _with_metadata(statement: Select[Job], request: Request) -> Select[Job]:
    for name, value in request.query_params.multi_items():
        key = re.fullmatch(r"metadata\[(.*)\]", name, re.DOTALL)
        if key is not None:
            if "\0" in key[1] + value:
                raise AppError("A metadata filter holds a NUL character.", code="invalid_value", param="metadata")
            statement = statement.where(Job.job_metadata.contains({key[1]: value}))
        elif name == "metadata":
            if value != "null":
                raise AppError("Write metadata[key]=value, or metadata=null.", code="invalid_value", param="metadata")
            statement = statement.where(Job.job_metadata.is_(None))
    return statement
