"""What is said of a job, and the word to those who watch it (`NOTIFY`, in the transaction that changed it)."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.jobs import JobEvent
from backend.ids import new_id

CHANNEL = "rlsd_job"
RESUMED = "job.resumed"
"""The job goes on from the checkpoint of `data["step"]`: what was said of later steps is taken back."""


def announce(session: Session, job_id: str) -> None:
    """Wake the watchers of the job when this transaction commits; the payload is the job's id."""
    session.execute(select(func.pg_notify(CHANNEL, job_id)))


def record(
    session: Session, job_id: str, *, code: str, message: str, level: str = "info", data: dict[str, Any] | None = None
) -> None:
    """Add an event and announce it. `level` is info, warn or error, as OpenAI's events have it."""
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
