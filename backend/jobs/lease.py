"""Who owns a job: a lease with an expiry, and a fence that grows with each claim.

The database is the truth. A claim is one conditional UPDATE, so of any number of nudged workers one wins. Everything a
trainer writes goes through `held_job`, which locks the job's row and refuses a fence that is no longer the newest: a
lost worker cannot write over its successor.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from backend.db.jobs import Job, seconds_held
from backend.jobs.lifecycle import OWNED, ControlSignal, JobState


@dataclass(frozen=True, slots=True)
class Lease:
    job_id: str
    owner: str
    fence: int


class LeaseLostError(Exception):
    """Another worker owns the job, or nobody does any more: stop at once and write nothing."""


def claim(session: Session, job_id: str, *, owner: str, lease_s: float) -> Lease | None:
    """Take the job if it is queued, or owned by a worker whose lease has run out. None: it is not to be had."""
    expired = Job.state.in_(OWNED) & (Job.lease_until < func.now())
    fence = session.scalar(
        update(Job)
        .where(Job.id == job_id, or_(Job.state == JobState.QUEUED, expired))
        .values(
            state=JobState.VALIDATING,
            lease_owner=owner,
            lease_until=func.now() + timedelta(seconds=lease_s),
            held_s=seconds_held(),
            held_since=func.now(),
            fence=Job.fence + 1,
            futile_claims=Job.futile_claims + 1,
            started_at=func.coalesce(Job.started_at, func.now()),
            progress_at=func.now(),
        )
        .returning(Job.fence)
    )
    return None if fence is None else Lease(job_id=job_id, owner=owner, fence=fence)


def renew(session: Session, lease: Lease, *, lease_s: float) -> ControlSignal:
    """Extend the lease and read what is wanted of the job. Raises LeaseLostError."""
    wish = session.scalar(
        update(Job)
        .where(Job.id == lease.job_id, Job.fence == lease.fence, Job.state.in_(OWNED))
        .values(lease_until=func.now() + timedelta(seconds=lease_s))
        .returning(Job.wish)
    )
    if wish is None:
        raise LeaseLostError(lease.job_id)
    return ControlSignal(wish)


def held_job(session: Session, lease: Lease) -> Job:
    """The job, locked until the transaction ends, if the lease still holds. Raises LeaseLostError."""
    job = session.scalar(
        select(Job)
        .where(Job.id == lease.job_id, Job.fence == lease.fence, Job.state.in_(OWNED))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if job is None:
        raise LeaseLostError(lease.job_id)
    return job
