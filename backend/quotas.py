"""What a project may use, what it uses, and the refusal where that would be too much."""

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
"""States in which a job uses nothing any more; a paused one still waits for its turn, but holds no device."""
IDLE = (*ENDED, "paused")
INSUFFICIENT_QUOTA = "insufficient_quota"
"""Code and type of the refusals."""


class Quotas(BaseModel):
    """What is not said is not limited."""

    model_config = ConfigDict(extra="forbid")

    storage_bytes: int | None = Field(
        None, ge=0, le=2**60, description="Of files, adapters, exports, and uploads as announced."
    )
    jobs_at_once: int | None = Field(None, ge=0, le=10**6, description="Jobs that wait or run.")
    gpu_hours: float | None = Field(
        None, ge=0, le=10**9, allow_inf_nan=False, description="Hours of all jobs so far, times their devices."
    )


class Usage(BaseModel):
    storage_bytes: int
    jobs_at_once: int
    gpu_hours: float


def usage(session: Session) -> Usage:
    """Of the project that the session is opened for."""
    files = session.scalar(select(func.coalesce(func.sum(File.size_bytes), 0)))
    coming = session.scalar(
        select(func.coalesce(func.sum(Upload.size_bytes), 0)).where(
            Upload.status == UploadStatus.PENDING, Upload.expires_at > utc_now()
        )
    )
    adapters = session.scalar(
        select(func.coalesce(func.sum(Blob.size_bytes), 0)).join(Job, Job.adapter_sha256 == Blob.sha256)
    )
    exports = session.scalar(
        select(func.coalesce(func.sum(Blob.size_bytes), 0))
        .join(Export, Export.sha256 == Blob.sha256)
        .join(Job, Job.id == Export.job_id)
    )
    jobs = session.scalar(select(func.count()).select_from(Job).where(Job.state.not_in(IDLE)))
    past = session.scalar(select(Project.past_gpu_hours).where(Project.id == session.info["project"]))
    return Usage(
        storage_bytes=int(files or 0) + int(coming or 0) + int(adapters or 0) + int(exports or 0),
        jobs_at_once=jobs or 0,
        gpu_hours=round((past or 0.0) + _gpu_hours(session), 4),
    )


def remember_gpu_hours(session: Session, job: Job) -> None:
    """Add what a job has used to its project's past, before the job is deleted."""
    used = _gpu_hours(session, Job.id == job.id)
    session.execute(
        update(Project)
        .where(Project.id == job.project_id)
        .values(past_gpu_hours=Project.past_gpu_hours + used)
        .execution_options(synchronize_session=False)
    )


def _gpu_hours(session: Session, *which: ColumnElement[bool]) -> float:
    """Of the jobs that the session sees, or of those."""
    seconds = seconds_held() * func.coalesce(Job.spec["devices"].as_integer(), 1)
    return float(session.scalar(select(func.sum(seconds) / 3600).where(*which)) or 0)


def require_storage(session: Session, coming_bytes: int = 0) -> None:
    """Raises AppError 429 where what the project stores, this session's additions too, is too much with so much more.

    The project's row is locked until the transaction ends, so that two requests do not both take the last room.
    """
    if _quotas(session).storage_bytes is None:
        return
    limit = _quotas(session, locked=True).storage_bytes
    stored = usage(session).storage_bytes + coming_bytes
    if limit is not None and stored > limit:
        raise _exceeded(
            f"The project may store {limit:,} bytes and would store {stored:,}. Delete files that are not needed"
        )


def require_job(session: Session) -> None:
    """Raises AppError 429 where one more job would be too much.

    The project's row is locked until the job is stored, so that two requests do not both take the last place.
    """
    quotas = _quotas(session, locked=True)
    if quotas.jobs_at_once is None and quotas.gpu_hours is None:
        return
    used = usage(session)
    if quotas.jobs_at_once is not None and used.jobs_at_once >= quotas.jobs_at_once:
        raise _exceeded(
            f"The project may have {quotas.jobs_at_once} jobs that wait or run, and has {used.jobs_at_once}. Wait for "
            "one to end, or cancel one"
        )
    if quotas.gpu_hours is not None and used.gpu_hours >= quotas.gpu_hours:
        raise _exceeded(f"The project may use {quotas.gpu_hours:g} device hours, and has used {used.gpu_hours:.2f}")


def _quotas(session: Session, *, locked: bool = False) -> Quotas:
    # Whatever is added to a project looks whether that is there, and need not wait for this.
    lock = {"key_share": True} if locked else None
    project = session.get_one(Project, session.info["project"], with_for_update=lock)
    return Quotas.model_validate(project.quotas)


def _exceeded(message: str) -> AppError:
    return AppError(
        f"{message}; an administrator can raise the quota.",
        status=429,
        code=INSUFFICIENT_QUOTA,
        type=INSUFFICIENT_QUOTA,
    )
