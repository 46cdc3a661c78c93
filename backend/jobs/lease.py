"""Ownership of a job by a worker: a lease with an expiry, and a fencing token that grows with each claim.

The database is authoritative. A claim is one conditional UPDATE, so exactly one of several notified workers wins.
Trainers write only through `held_job`, which locks the job's row and rejects an outdated fence: a lost worker cannot
overwrite its successor's results.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from backend.core.control import ControlSignal
from backend.db.jobs import Job, seconds_held
from backend.jobs.lifecycle import OWNED, JobState


@dataclass(frozen=True, slots=True)
class Lease:
    job_id: str
    owner: str
    fence: int


class LeaseLostError(Exception):
    """The lease was lost to another worker or released: stop immediately and write nothing."""


def claim(session: Session, job_id: str, *, owner: str, lease_s: float) -> Lease | None:
    """Claim the job if it is queued or its lease has expired; None if it is not available."""
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
    """Extend the lease and return the job's control signal. Raises LeaseLostError."""
    signal = session.scalar(
        update(Job)
        .where(Job.id == lease.job_id, Job.fence == lease.fence, Job.state.in_(OWNED))
        .values(lease_until=func.now() + timedelta(seconds=lease_s))
        .returning(Job.control_signal)
    )
    if signal is None:
        raise LeaseLostError(lease.job_id)
    return ControlSignal(signal)


def held_job(session: Session, lease: Lease) -> Job:
    """Return the job, locked until the transaction ends. Raises LeaseLostError if the lease no longer holds."""
    job = session.scalar(
        select(Job)
        .where(Job.id == lease.job_id, Job.fence == lease.fence, Job.state.in_(OWNED))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if job is None:
        raise LeaseLostError(lease.job_id)
    return job
