"""Events of a job, and notification of its watchers (`NOTIFY`, in the transaction that changed it)."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.control import EventLevel
from backend.db.base import utc_now
from backend.db.engine import driver_url
from backend.db.jobs import JobEvent
from backend.ids import new_id
from backend.settings import settings

CHANNEL = "rlsd_job"
RESUMED = "job.resumed"
"""Code of the event that a job continues after `data["step"]`, from its checkpoint or from 0; later steps are void."""


def announce(session: Session, job_id: str) -> None:
    """Notify the watchers of the job when this transaction commits; the payload is the job's id."""
    session.execute(select(func.pg_notify(CHANNEL, job_id)))


async def changed_jobs() -> AsyncIterator[str | None]:
    """Yield the id of each job that a transaction has changed; first None, before which changes were not heard.

    Ends with a psycopg.Error where the connection does.
    """
    url = driver_url(settings().required_database_url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        yield None
        async for notification in connection.notifies():
            yield notification.payload


def record(
    session: Session,
    job_id: str,
    *,
    code: str,
    message: str,
    level: EventLevel = "info",
    data: dict[str, Any] | None = None,
) -> None:
    """Add an event and notify watchers."""
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
