"""The open streams of this process: one database listener, and one revalidation of their callers, for all of them.

Streams of one job that are at the same position read it together, so what is new is read once however many follow.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog
from psycopg import Error
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from backend.api.http.authentication import Caller, still_valid
from backend.api.jobs.stream.messages import MessageBatch, StreamPosition, read_batch
from backend.jobs.events import changed_jobs

REVALIDATION_S = 15.0
RECONNECT_S = 1.0
KEPT_READS = 8
"""Positions of a job whose reading is kept until the job changes."""
log = structlog.get_logger()


class Stream:
    """One open stream: `changed` is set when its job may have something new, or when its caller is `revoked`."""

    def __init__(self, who: Caller) -> None:
        self.who = who
        self.revoked = False
        self.changed = asyncio.Event()

    def revoke(self) -> None:
        self.revoked = True
        self.changed.set()


class Feed:
    """The streams of one job, and what they have read since it last changed."""

    def __init__(self, job_id: str, *, project: str) -> None:
        self.job_id = job_id
        self.project = project
        self.streams: set[Stream] = set()
        self._reads: dict[StreamPosition, asyncio.Task[MessageBatch | None]] = {}

    def wake(self) -> None:
        self._reads = {}
        for stream in self.streams:
            stream.changed.set()

    async def read(self, position: StreamPosition) -> MessageBatch | None:
        """Read what follows the position, at most once for all streams; None if that fails."""
        if position not in self._reads:
            if len(self._reads) == KEPT_READS:
                del self._reads[next(iter(self._reads))]
            self._reads[position] = asyncio.create_task(self._read(position))
        return await asyncio.shield(self._reads[position])  # a stream that ends must not end it for the others

    async def _read(self, position: StreamPosition) -> MessageBatch | None:
        try:
            return await run_in_threadpool(read_batch, self.job_id, position, project=self.project)
        except Exception:
            log.exception("a job's stream could not be read; its clients have to reconnect", job=self.job_id)
            self._reads.pop(position, None)  # or those that reconnect would get this failure until the job changes
            return None


class Feeds:
    """The feeds of this process, by job."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def follow(self, job_id: str, position: StreamPosition, who: Caller) -> AsyncGenerator[bytes]:
        """Yield every message after `position` once, and the job's state when it changes, as server-sent events.

        Ends with the final state of the job, or when the database fails or the caller is no longer valid.
        """
        sent = None
        with self._opened(job_id, who) as (feed, stream):
            while not stream.revoked:
                stream.changed.clear()  # before reading: what changes meanwhile may be missing
                batch = await feed.read(position)
                if batch is None:
                    return
                position = batch.position
                if batch.messages:
                    yield batch.messages
                if batch.more:
                    continue
                if batch.state != sent:
                    sent = batch.state
                    yield sent.message
                if sent.ended:
                    return
                await stream.changed.wait()

    def is_followed(self, job_id: str, *, project: str) -> bool:
        """Return whether a stream of this project follows the job, which is then known to exist there."""
        return job_id in self._feeds and self._feeds[job_id].project == project

    async def close(self) -> None:
        tasks = self._stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self) -> list[asyncio.Task[None]]:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        return tasks

    @contextmanager
    def _opened(self, job_id: str, who: Caller) -> Iterator[tuple[Feed, Stream]]:
        if not self._tasks:
            self._tasks = [asyncio.create_task(_repeat(work)) for work in (self._listen, self._revalidate)]
        feed, stream = self._feeds.setdefault(job_id, Feed(job_id, project=who.project)), Stream(who)
        feed.streams.add(stream)
        try:
            yield feed, stream
        finally:
            feed.streams.remove(stream)
            if not feed.streams:
                del self._feeds[job_id]
            if not self._feeds:
                self._stop()

    async def _listen(self) -> None:
        """Wake the streams of every job that a transaction has changed; all when notifications may have been lost."""
        async for job_id in changed_jobs():
            for feed in [*self._feeds.values()]:
                if job_id in (None, feed.job_id):
                    feed.wake()

    async def _revalidate(self) -> None:
        """End the streams of callers that are no longer valid. If the database is unreachable, none ends."""
        await asyncio.sleep(REVALIDATION_S)
        streams = [stream for feed in self._feeds.values() for stream in feed.streams]
        callers = {stream.who for stream in streams}
        valid = await run_in_threadpool(still_valid, callers) if callers else callers
        for stream in streams:
            if stream.who not in valid:
                stream.revoke()


async def _repeat(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work again and again. No error ends it: the streams depend on it as long as they are open."""
    while True:
        try:
            await work()
        except (Error, SQLAlchemyError) as error:
            log.warning("streams of jobs have no database", error=str(error))
            await asyncio.sleep(RECONNECT_S)
        except Exception:
            log.exception("work for all streams of jobs has failed and is done again")
            await asyncio.sleep(RECONNECT_S)
