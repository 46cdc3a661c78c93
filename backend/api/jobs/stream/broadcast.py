"""Broadcast of a job's messages: one reader per job and process, shared by all its subscribers.

A feed keeps the last messages only. A subscriber that joins late or falls behind reads the missing messages from the
database and continues from the feed, so subscribers do not wait for each other and memory is bounded.
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
    newest_position,
    read_batch,
)

KEPT_MESSAGES = 1000
log = structlog.get_logger()


class Feed:
    """The newest messages of one job. `total` counts all published ones, so a subscriber knows what it has missed."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.subscribers = 0
        self.total = 0
        self.state: StateMessage | None = None
        self.closed = False
        self.ready = asyncio.Event()
        self._kept: deque[StreamMessage] = deque(maxlen=KEPT_MESSAGES)
        self._changed = asyncio.Event()

    async def run(self, watch: JobWatch) -> None:
        """Publish the job's messages until it ends."""
        try:
            async with watch.subscribe(self.job_id) as changed:
                position = await run_in_threadpool(newest_position, self.job_id)
                self.ready.set()
                while self.state is None or not self.state.ended:
                    changed.clear()
                    batch = await run_in_threadpool(read_batch, self.job_id, position)
                    position = batch.position
                    self._publish(batch)
                    if not batch.more and not batch.state.ended:
                        await changed.wait()
        except Exception:
            log.exception("feed of a job failed; its clients have to reconnect", job=self.job_id)
        finally:
            self.closed = True
            self.ready.set()
            self.notify()

    def message(self, number: int) -> StreamMessage | None:
        """Return the message with index `number`, which must have been published; None if it is no longer kept."""
        back = self.total - number
        return self._kept[-back] if back <= len(self._kept) else None

    async def wait_for_change(self, *, total: int, state: StateMessage | None, admission: Admission) -> None:
        """Wait for a new message or state, the end of the feed or the revocation of the admission."""
        while not (self.closed or admission.revoked) and self.total == total and self.state is state:
            await self._changed.wait()

    def notify(self) -> None:
        """Wake all subscribers."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _publish(self, batch: MessageBatch) -> None:
        self._kept.extend(batch.messages)
        self.total += len(batch.messages)
        if not batch.more:
            self.state = batch.state
        self.notify()


class Feeds:
    """The feeds of this process, by job."""

    def __init__(self) -> None:
        self._watch = JobWatch()
        self._admissions = Admissions()
        self._feeds: dict[str, tuple[Feed, asyncio.Task[None]]] = {}

    @asynccontextmanager
    async def subscribe(self, job_id: str, who: Caller) -> AsyncIterator[tuple[Feed, Admission]]:
        """Yield the feed of a job, which has every message committed from now on. It ends with its last subscriber."""
        feed, task = self._feeds.get(job_id, (None, None))
        if feed is None or task is None or feed.closed:
            feed = Feed(job_id)
            task = asyncio.create_task(feed.run(self._watch))
            self._feeds[job_id] = (feed, task)
        feed.subscribers += 1
        try:
            async with self._admissions.admit(who, on_revoked=feed.notify) as admission:
                await feed.ready.wait()
                yield feed, admission
        finally:
            feed.subscribers -= 1
            if feed.subscribers == 0:
                task.cancel()
                if self._feeds.get(job_id, (None, None))[0] is feed:
                    del self._feeds[job_id]

    async def close(self) -> None:
        for _, task in list(self._feeds.values()):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._watch.close()


async def follow_job(
    feeds: Feeds, job_id: str, position: StreamPosition, who: Caller
) -> AsyncGenerator[tuple[StreamMessage | StateMessage, StreamPosition], None]:
    """Yield every message after `position` once, with the position after it, and the job's state when it changes.

    Ends with the final state of the job, or when the feed failed or the caller is no longer valid.
    """
    sent_state: StateMessage | None = None
    async with feeds.subscribe(job_id, who) as (feed, admission):
        number: int | None = None
        while not admission.revoked:
            if number is None:
                # Before reading: a message published meanwhile may be in both the batch and the feed.
                total, feed_state = feed.total, feed.state
                batch = await run_in_threadpool(read_batch, job_id, position)
                for message in batch.messages:
                    position = message.after(position)
                    yield message, position
                position = batch.position
                if batch.more:
                    continue
                number, state = total, batch.state
            elif number < feed.total:
                kept = feed.message(number)
                number = None if kept is None else number + 1
                if kept is not None and kept.is_new_at(position):
                    position = kept.after(position)
                    yield kept, position
                continue
            else:
                feed_state = feed.state
                state = feed_state or state
            if sent_state is None or state.is_newer_than(sent_state):
                sent_state = state
                yield state, position
            if sent_state.ended or feed.closed:
                return
            await feed.wait_for_change(total=number, state=feed_state, admission=admission)
