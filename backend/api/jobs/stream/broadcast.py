"""One reader a job and process, however many watch: it reads what is new once, and all watchers take it from there.

A feed keeps the last messages only. Who comes later, or takes them more slowly than they arrive, reads what is missing
from the database for itself and goes on from the feed: nobody waits for another, and memory is bounded by the feed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from starlette.concurrency import run_in_threadpool

from backend.api.http.authentication import Caller
from backend.api.jobs.stream.authorisation import Admission, Admissions
from backend.api.jobs.stream.listener import JobWatch
from backend.api.jobs.stream.messages import (
    MessageBatch,
    StateMessage,
    StreamMessage,
    StreamPosition,
    newest_place,
    read_news,
)

KEPT_MESSAGES = 1000
log = structlog.get_logger()


class Feed:
    """The newest messages of one job. `total` counts all that there were, so a watcher knows what it has missed."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.watchers = 0
        self.total = 0
        self.standing: StateMessage | None = None
        self.closed = False
        self.begun = asyncio.Event()
        self._kept: deque[StreamMessage] = deque(maxlen=KEPT_MESSAGES)
        self._news = asyncio.Event()

    async def run(self, watch: JobWatch) -> None:
        """Follow the job to its end."""
        try:
            async with watch.watching(self.job_id) as waiting:
                place = await run_in_threadpool(newest_place, self.job_id)
                self.begun.set()
                while self.standing is None or not self.standing.ended:
                    waiting.clear()
                    news = await run_in_threadpool(read_news, self.job_id, place)
                    place = news.place
                    self._publish(news)
                    if not news.more and not news.standing.ended:
                        await waiting.wait()
        except Exception:
            log.exception("a job is not followed any more; its watchers come again", job=self.job_id)
        finally:
            self.closed = True
            self.begun.set()
            self.tell()

    def message(self, number: int) -> StreamMessage | None:
        """The message after the first `number` ones, of which there is one; None where it is not kept any more."""
        back = self.total - number
        return self._kept[-back] if back <= len(self._kept) else None

    async def changed(self, *, total: int, standing: StateMessage | None, admission: Admission) -> None:
        """Wait until there are more messages, the job stands otherwise, the feed is closed or the admission over."""
        while not (self.closed or admission.over) and self.total == total and self.standing is standing:
            await self._news.wait()

    def tell(self) -> None:
        """Have all who wait look again."""
        self._news.set()
        self._news = asyncio.Event()

    def _publish(self, news: MessageBatch) -> None:
        self._kept.extend(news.messages)
        self.total += len(news.messages)
        if not news.more:
            self.standing = news.standing
        self.tell()


class Feeds:
    """The feeds of this process, by job."""

    def __init__(self) -> None:
        self._watch = JobWatch()
        self._admissions = Admissions()
        self._feeds: dict[str, tuple[Feed, asyncio.Task[None]]] = {}

    @asynccontextmanager
    async def joined(self, job_id: str, who: Caller) -> AsyncIterator[tuple[Feed, Admission]]:
        """The feed of a job, begun: what is committed later than now is in it. It ends with its last watcher."""
        feed, task = self._feeds.get(job_id, (None, None))
        if feed is None or task is None or feed.closed:
            feed = Feed(job_id)
            task = asyncio.create_task(feed.run(self._watch))
            self._feeds[job_id] = (feed, task)
        feed.watchers += 1
        try:
            async with self._admissions.held(who, at_end=feed.tell) as admission:
                await feed.begun.wait()
                yield feed, admission
        finally:
            feed.watchers -= 1
            if feed.watchers == 0:
                task.cancel()
                if self._feeds.get(job_id, (None, None))[0] is feed:
                    del self._feeds[job_id]

    async def close(self) -> None:
        for _, task in list(self._feeds.values()):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._watch.close()


async def follow(
    feeds: Feeds, job_id: str, place: StreamPosition, who: Caller
) -> AsyncGenerator[tuple[StreamMessage | StateMessage, StreamPosition], None]:
    """All messages after `place`, each once, with the place after it, and how the job stands whenever that changes.

    Ends with the standing of a job that has ended, or when the feed was lost or the caller is not known any more.
    """
    told: StateMessage | None = None
    async with feeds.joined(job_id, who) as (feed, admission):
        number: int | None = None
        while not admission.over:
            if number is None:
                behind, seen = feed.total, feed.standing  # before reading: what comes meanwhile may be in both
                news = await run_in_threadpool(read_news, job_id, place)
                for message in news.messages:
                    place = message.after(place)
                    yield message, place
                place = news.place
                if news.more:
                    continue
                number, standing = behind, news.standing
            elif number < feed.total:
                kept = feed.message(number)
                number = None if kept is None else number + 1
                if kept is not None and kept.is_new_at(place):
                    place = kept.after(place)
                    yield kept, place
                continue
            else:
                seen = feed.standing
                standing = seen or standing
            if told is None or standing.is_newer_than(told):
                told = standing
                yield standing, place
            if told.ended or feed.closed:
                return
            await feed.changed(total=number, standing=seen, admission=admission)
