"""Notifications of changed jobs, over one listening database connection per process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
import structlog

from backend.db.engine import driver_url
from backend.jobs.events import CHANNEL
from backend.settings import settings

RECONNECT_S = 1.0
log = structlog.get_logger()


class JobWatch:
    """Wakes subscribers when a transaction has changed their job. They then read the changes from the database.

    Wakes all of them when the connection is (re)established, since notifications sent meanwhile are lost.
    """

    def __init__(self) -> None:
        self._subscribers: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def subscribe(self, job_id: str) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set whenever the job changes: clear it, read, then wait for it."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        changed = asyncio.Event()
        self._subscribers.setdefault(job_id, set()).add(changed)
        try:
            yield changed
        finally:
            self._subscribers[job_id].discard(changed)
            if not self._subscribers[job_id]:
                del self._subscribers[job_id]

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except psycopg.Error as error:
                log.warning("not listening for changes of jobs", error=str(error))
                await asyncio.sleep(RECONNECT_S)

    async def _listen_once(self) -> None:
        url = driver_url(settings().required_database_url)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            for job_id in list(self._subscribers):
                self._wake(job_id)
            async for notification in connection.notifies():
                self._wake(notification.payload)

    def _wake(self, job_id: str) -> None:
        for changed in self._subscribers.get(job_id, ()):
            changed.set()
