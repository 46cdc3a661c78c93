"""Deletion of an ended job with its steps, rollouts, checkpoints and adapter, or of its adapter; its files remain."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import blobs
from backend.db.comparisons import comparison_with
from backend.db.exports import Export
from backend.db.jobs import Job, job_of_model
from backend.db.training import Checkpoint
from backend.db.usage import remember_gpu_hours
from backend.errors import AppError
from backend.jobs.control import lock_job
from backend.jobs.lifecycle import TERMINAL


def delete_job(session: Session, job: Job) -> None:
    """Delete the job. Raises AppError: 404 if deleted meanwhile, 409 if it has not ended or belongs to a comparison."""
    lock_job(session, job)
    if job.state not in TERMINAL:
        raise _conflict(f"Job '{job.id}' is {job.state}: cancel it before deleting it.", code="job_not_ended")
    comparison = comparison_with(session, job)
    if comparison is not None:
        message = f"Job '{job.id}' is part of comparison '{comparison}': delete the comparison first."
        raise _conflict(message, code="job_in_use")
    stored = [job.adapter_sha256]
    stored += session.scalars(select(Checkpoint.sha256).where(Checkpoint.job_id == job.id))
    stored += session.scalars(select(Export.sha256).where(Export.job_id == job.id))
    remember_gpu_hours(session, job)
    session.delete(job)
    session.flush()
    for sha256 in sorted({sha256 for sha256 in stored if sha256 is not None}):
        blobs.drop_unused(session, sha256)


def delete_adapter(session: Session, model: str, *, project: str) -> bool:
    """Delete the adapter of this name, which a job of the project trained; False if there is none."""
    job = job_of_model(session, model, project=project, locked=True)
    if job is None:
        return False
    sha256, job.fine_tuned_model, job.adapter_sha256 = job.adapter_sha256, None, None
    session.flush()
    if sha256 is not None:
        blobs.drop_unused(session, sha256)
    return True


def _conflict(message: str, *, code: str) -> AppError:
    return AppError(message, status=409, code=code, type="conflict_error")
