"""Who waits for news of which job: one listening connection a process, however many watch."""

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
    """Wakes watchers when a transaction has announced their job. A wake is only a nudge: what is new is read after it.

    All are woken when the connection is (re)made, since what was said meanwhile went unheard.
    """

    def __init__(self) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self, job_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set at every news of the job; clear it, read, then wait for it."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        news = asyncio.Event()
        self._watchers.setdefault(job_id, set()).add(news)
        try:
            yield news
        finally:
            self._watchers[job_id].discard(news)
            if not self._watchers[job_id]:
                del self._watchers[job_id]

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
                log.warning("not listening for news of jobs", error=str(error))
                await asyncio.sleep(RECONNECT_S)

    async def _listen_once(self) -> None:
        url = driver_url(settings().required_database_url)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            for job_id in list(self._watchers):
                self._wake(job_id)
            async for notification in connection.notifies():
                self._wake(notification.payload)

    def _wake(self, job_id: str) -> None:
        for news in self._watchers.get(job_id, ()):
            news.set()
