"""What a project uses: bytes, jobs, device hours."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.blobs import Blob
from backend.db.exports import Export
from backend.db.files import File
from backend.db.jobs import Job, seconds_held
from backend.db.projects import Project
from backend.db.uploads import Upload, UploadStatus


def stored_bytes(session: Session, *, project: str) -> int:
    """Sum the bytes of files, adapters, exports, and pending uploads as announced."""
    pending = (Upload.status == UploadStatus.PENDING, Upload.expires_at > utc_now())
    exported = select(func.sum(Blob.size_bytes)).join(Export, Export.sha256 == Blob.sha256)
    sums = (
        select(func.sum(File.size_bytes)).where(File.project_id == project),
        select(func.sum(Upload.size_bytes)).where(Upload.project_id == project, *pending),
        select(func.sum(Blob.size_bytes)).join(Job, Job.adapter_sha256 == Blob.sha256).where(Job.project_id == project),
        exported.join(Job, Job.id == Export.job_id).where(Job.project_id == project),
    )
    return sum(int(session.scalar(each) or 0) for each in sums)


def count_jobs(session: Session, *, project: str, without: Collection[str]) -> int:
    """Count the project's jobs that are in none of these states."""
    counted = select(func.count()).select_from(Job).where(Job.project_id == project, Job.state.not_in(without))
    return session.scalar(counted) or 0


def gpu_hours(session: Session, *, project: str) -> float:
    """Return the device hours of all jobs of the project, deleted ones included."""
    past = session.scalar(select(Project.past_gpu_hours).where(Project.id == project)) or 0.0
    return past + _gpu_hours(session, Job.project_id == project)


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
