"""Quotas of a project, its usage, and the checks of usage against quotas."""

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.blobs import Blob
from backend.db.exports import Export
from backend.db.files import File
from backend.db.jobs import Job, seconds_held
from backend.db.projects import Project
from backend.db.uploads import Upload, UploadStatus
from backend.errors import AppError

ENDED = ("succeeded", "failed", "cancelled")
"""Final states of a job. A paused job is not final, but holds no device either."""
IDLE = (*ENDED, "paused")
INSUFFICIENT_QUOTA = "insufficient_quota"
"""Code and type of the errors."""


class Quotas(BaseModel):
    """Limits of a project; None is unlimited."""

    model_config = ConfigDict(extra="forbid")

    storage_bytes: int | None = Field(
        None, ge=0, le=2**60, description="Bytes of files, adapters, exports, and uploads as announced."
    )
    jobs_at_once: int | None = Field(None, ge=0, le=10**6, description="Jobs that are queued or running.")
    gpu_hours: float | None = Field(
        None, ge=0, le=10**9, allow_inf_nan=False, description="Hours of all jobs so far, multiplied by their devices."
    )


class Usage(BaseModel):
    """What a project uses, in the units of `Quotas`."""

    storage_bytes: int
    jobs_at_once: int
    gpu_hours: float


def usage(session: Session, *, project: str) -> Usage:
    """Return what the project uses."""
    files = session.scalar(select(func.coalesce(func.sum(File.size_bytes), 0)).where(File.project_id == project))
    announced = session.scalar(
        select(func.coalesce(func.sum(Upload.size_bytes), 0)).where(
            Upload.project_id == project, Upload.status == UploadStatus.PENDING, Upload.expires_at > utc_now()
        )
    )
    adapters = session.scalar(
        select(func.coalesce(func.sum(Blob.size_bytes), 0))
        .join(Job, Job.adapter_sha256 == Blob.sha256)
        .where(Job.project_id == project)
    )
    exports = session.scalar(
        select(func.coalesce(func.sum(Blob.size_bytes), 0))
        .join(Export, Export.sha256 == Blob.sha256)
        .join(Job, Job.id == Export.job_id)
        .where(Job.project_id == project)
    )
    jobs = session.scalar(
        select(func.count()).select_from(Job).where(Job.project_id == project, Job.state.not_in(IDLE))
    )
    past = session.scalar(select(Project.past_gpu_hours).where(Project.id == project))
    return Usage(
        storage_bytes=int(files or 0) + int(announced or 0) + int(adapters or 0) + int(exports or 0),
        jobs_at_once=jobs or 0,
        gpu_hours=round((past or 0.0) + _gpu_hours(session, Job.project_id == project), 4),
    )


def remember_gpu_hours(session: Session, job: Job) -> None:
    """Add a job's device hours to its project's past usage, before the job is deleted."""
    used = _gpu_hours(session, Job.id == job.id)
    session.execute(
        update(Project)
        .where(Project.id == job.project_id)
        .values(past_gpu_hours=Project.past_gpu_hours + used)
        .execution_options(synchronize_session=False)
    )


def _gpu_hours(session: Session, condition: ColumnElement[bool]) -> float:
    """Sum the device hours of the jobs that match."""
    seconds = seconds_held() * func.coalesce(Job.spec["devices"].as_integer(), 1)
    return float(session.scalar(select(func.sum(seconds) / 3600).where(condition)) or 0)


def require_storage(session: Session, *, project: str, additional_bytes: int = 0) -> None:
    """Raise AppError 429 if the project's bytes, this session's additions and `additional_bytes` exceed its quota.

    The project's row is locked until the transaction ends, so that two requests cannot both use the remaining storage.
    """
    if _quotas(session, project).storage_bytes is None:
        return
    limit = _quotas(session, project, locked=True).storage_bytes
    stored = usage(session, project=project).storage_bytes + additional_bytes
    if limit is not None and stored > limit:
        raise _exceeded(
            f"The project's storage quota is {limit:,} bytes, and it would use {stored:,}. Delete files you do not need"
        )


def require_job(session: Session, *, project: str) -> None:
    """Raise AppError 429 if one more job would exceed a quota of the project.

    The project's row is locked until the job is stored, so that two requests cannot both take the last slot.
    """
    quotas = _quotas(session, project, locked=True)
    if quotas.jobs_at_once is None and quotas.gpu_hours is None:
        return
    used = usage(session, project=project)
    if quotas.jobs_at_once is not None and used.jobs_at_once >= quotas.jobs_at_once:
        raise _exceeded(
            f"The project may have {quotas.jobs_at_once} queued or running jobs and has {used.jobs_at_once}. Wait for "
            "one to end, or cancel one"
        )
    if quotas.gpu_hours is not None and used.gpu_hours >= quotas.gpu_hours:
        raise _exceeded(f"The project may use {quotas.gpu_hours:g} device hours and has used {used.gpu_hours:.2f}")


def _quotas(session: Session, project_id: str, *, locked: bool = False) -> Quotas:
    # FOR NO KEY UPDATE: inserts that only reference the project need not wait for this lock.
    lock = {"key_share": True} if locked else None
    project = session.get_one(Project, project_id, with_for_update=lock)
    return Quotas.model_validate(project.quotas)


def _exceeded(message: str) -> AppError:
    return AppError(
        f"{message}; an administrator can raise the quota.",
        status=429,
        code=INSUFFICIENT_QUOTA,
        type=INSUFFICIENT_QUOTA,
    )
