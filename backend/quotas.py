"""Quotas of a project, its usage, and the checks of usage against quotas."""

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from backend.db.projects import get_project, lock_project
from backend.db.usage import count_jobs, gpu_hours, stored_bytes
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
    return Usage(
        storage_bytes=stored_bytes(session, project=project),
        jobs_at_once=count_jobs(session, project=project, without=IDLE),
        gpu_hours=round(gpu_hours(session, project=project), 4),
    )


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


def _quotas(session: Session, project: str, *, locked: bool = False) -> Quotas:
    return Quotas.model_validate((lock_project if locked else get_project)(session, project).quotas)


def _exceeded(message: str) -> AppError:
    return AppError(
        f"{message}; an administrator can raise the quota.",
        status=429,
        code=INSUFFICIENT_QUOTA,
        type=INSUFFICIENT_QUOTA,
    )
