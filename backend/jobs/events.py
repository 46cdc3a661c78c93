"""Events of a job, and notification of its watchers (`NOTIFY`, in the transaction that changed it)."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.jobs import JobEvent
from backend.ids import new_id

CHANNEL = "rlsd_job"
RESUMED = "job.resumed"
"""Code of the event that a job continues from the checkpoint of `data["step"]`; later steps are void."""


def announce(session: Session, job_id: str) -> None:
    """Notify the watchers of the job when this transaction commits; the payload is the job's id."""
    session.execute(select(func.pg_notify(CHANNEL, job_id)))


def record(
    session: Session, job_id: str, *, code: str, message: str, level: str = "info", data: dict[str, Any] | None = None
) -> None:
    """Add an event and notify watchers. `level` is info, warn or error, as in OpenAI's events."""
    session.add(
        JobEvent(
            id=new_id("ftevent"),
            job_id=job_id,
            created_at=utc_now(),
            level=level,
            code=code,
            message=message,
            data=data,
        )
    )
    announce(session, job_id)
