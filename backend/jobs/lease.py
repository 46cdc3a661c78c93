"""Ownership of a job by a worker: a lease with an expiry, and a fencing token that grows with each claim.

The database is authoritative. A claim is one conditional UPDATE, so exactly one of several notified workers wins.
Workers write only to a `HeldJob`, whose row is locked and whose fence is not outdated: a lost worker cannot overwrite
its successor's results.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from backend.core.control import ControlSignal, EventLevel
from backend.db.base import Json
from backend.db.engine import transaction
from backend.db.jobs import Job, seconds_held
from backend.jobs import checkpoints, control, events
from backend.jobs.lifecycle import OWNED, JobState


class LeaseLostError(Exception):
    """The lease was lost to another worker or released: stop immediately and write nothing."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one worker to a job, from its claim until the job ends, is put back or is claimed again."""

    job_id: str
    owner: str
    fence: int

    def renew(self, session: Session, *, lease_s: float) -> ControlSignal:
        """Extend the lease and return the job's control signal. Raises LeaseLostError."""
        signal = session.scalar(
            update(Job)
            .where(Job.id == self.job_id, Job.fence == self.fence, Job.state.in_(OWNED))
            .values(lease_until=func.now() + timedelta(seconds=lease_s))
            .returning(Job.control_signal)
        )
        if signal is None:
            raise LeaseLostError(self.job_id)
        return ControlSignal(signal)

    @contextmanager
    def held(self) -> Iterator["HeldJob"]:
        """Yield the job in a transaction, which locks it. Raises LeaseLostError if the lease no longer holds."""
        with transaction() as session:
            job = session.scalar(
                select(Job)
                .where(Job.id == self.job_id, Job.fence == self.fence, Job.state.in_(OWNED))
                .with_for_update()
                .execution_options(populate_existing=True)
            )
            if job is None:
                raise LeaseLostError(self.job_id)
            yield HeldJob(session, job)


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that a worker holds, within one transaction: how the worker begins it, goes on with it and ends it."""

    session: Session
    job: Job

    def begin(self) -> bytes | None:
        """Let the job run. Returns its newest checkpoint, and deletes all reports of later steps."""
        assert self.job.state == JobState.VALIDATING, self.job.state  # or the steps of a running job would go
        pausing = self.job.control_signal == ControlSignal.PAUSE
        control.set_state(self.session, self.job, JobState.PAUSING if pausing else JobState.RUNNING)
        return checkpoints.restore(self.session, self.job)

    def checkpoint(self, data: bytes, *, step: int, score: float | None, kept_step: int | None) -> None:
        """Store a checkpoint; see `checkpoints.store`."""
        checkpoints.store(self.session, self.job, data, step=step, score=score, kept_step=kept_step)

    def record(
        self, *, code: str, message: str, level: EventLevel = "info", data: dict[str, Any] | None = None
    ) -> None:
        """Add an event of the job."""
        events.record(self.session, self.job.id, code=code, message=message, level=level, data=data)

    def pause(self, *, error: Json | None = None) -> None:
        """Pause the job, on request or because of `error` (`{code, message, param}`), which it keeps until resumed.

        A cancellation requested in the meantime takes precedence.
        """
        if self.job.control_signal == ControlSignal.CANCEL:
            self.end(JobState.CANCELLED)
        else:
            self.job.control_signal = ControlSignal.PAUSE
            self._stop(JobState.PAUSED, error=error)

    def fail(self, error: Json) -> None:
        """End the job with an error, `{code, message, param}`."""
        self._stop(JobState.FAILED, error=error)

    def end(self, state: JobState) -> None:
        """End the job without an error."""
        self._stop(state, error=None)

    def release(self, *, why: str, orderly: bool) -> None:
        """Leave the job to another worker; see `control.release`."""
        control.release(self.session, self.job, why=why, orderly=orderly)

    def _stop(self, state: JobState, *, error: Json | None) -> None:
        self.job.error = error
        message = None if error is None else str(error["message"])
        level: EventLevel = "info" if error is None else "error"
        control.set_state(self.session, self.job, state, message=message, level=level)


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
