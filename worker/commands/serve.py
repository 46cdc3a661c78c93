"""The chat server process of `rlsd worker --queue chat`: requests come through the broker.

torch is imported with the first request. Once the last model is unloaded, the process restarts itself, so that the
memory that torch and CUDA hold is released.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from traceback import format_exc
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from backend import workers
from backend.chat.redis_keys import QUEUE
from backend.chat.server_queue import RequestQueue
from backend.db.chat import record_usage
from backend.db.engine import transaction
from backend.settings import settings
from backend.stack.logs import configure_logs
from worker.serving.server import ChatServer

if TYPE_CHECKING:
    from worker.serving.model_runner import ModelRunner
    from worker.serving.sequence import SequenceGroup

PRESENCE_S = 3.0
PAUSE_S = 1.0
"""Seconds before a restart after an error."""
log = structlog.get_logger()


class LazyModelLoader:
    """Imports the engine with the first model."""

    has_loaded = False

    def check(self, base: str) -> None:
        from worker.serving.model_loading import check_model

        check_model(base)

    def load(self, base: str) -> "ModelRunner":
        self.has_loaded = True
        from worker.serving.model_loading import load_runner

        started = time.monotonic()
        runner = load_runner(base)
        log.info("model loaded", model=base, seconds=round(time.monotonic() - started, 2))
        return runner

    def free_memory(self) -> None:
        from worker.serving.model_runner import free_memory

        free_memory()


class Presence:
    """Heartbeat of this server: in the broker for clients, in the database for the UI."""

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self._facts = workers.facts([QUEUE], sandbox_level=0)  # it runs no user code
        self._leaving = threading.Event()
        self._queue.heartbeat()
        self._thread = threading.Thread(target=self._report, name="presence", daemon=True)
        self._thread.start()

    def end(self, *, restarts: bool) -> None:
        self._leaving.set()
        self._thread.join()
        if not restarts:
            with suppress(RedisError):
                self._queue.deregister()
            with suppress(SQLAlchemyError), transaction() as session:
                workers.leave(session, self._facts)

    def _report(self) -> None:
        reported = -workers.REPORT_S
        while True:
            try:
                self._queue.heartbeat()
                if time.monotonic() - reported >= workers.REPORT_S:
                    with transaction() as session:
                        workers.report(session, self._facts)
                    reported = time.monotonic()
            except (RedisError, SQLAlchemyError) as error:
                log.warning("heartbeat failed", error=str(error))
            if self._leaving.wait(PRESENCE_S):
                return


def count(group: "SequenceGroup") -> None:
    request = group.request
    try:
        with transaction() as session:
            record_usage(
                session,
                project=request.project,
                model=request.model,
                prompt_tokens=len(group.context.ids),
                completion_tokens=group.completion_tokens,
            )
    except SQLAlchemyError as error:
        log.error("usage was not counted", request=request.id, error=str(error))


def _count_later(counting: ThreadPoolExecutor, group: "SequenceGroup") -> None:
    counting.submit(count, group)


def main() -> None:
    configure_logs()
    stop_at: float | None = None

    def stop(*_: object) -> None:
        nonlocal stop_at
        stop_at = stop_at or time.monotonic() + settings().stop_grace_s

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    failed = False
    while stop_at is None:
        try:
            failed = not serve(lambda: stop_at)
            break
        except RedisError as error:
            log.error("the broker is unreachable", error=str(error))
            time.sleep(PAUSE_S)
    if stop_at is None:
        time.sleep(PAUSE_S if failed else 0)
        os.execv(sys.executable, [sys.executable, "-m", "worker.commands.serve"])  # noqa: S606


def serve(stop_at: Callable[[], float | None]) -> bool:
    """Serve until stopped or due for a restart. False if the server failed."""
    queue = RequestQueue(broker_url=settings().required_broker_url, name=f"{socket.gethostname()}:{os.getpid()}")
    presence, loader, clean = Presence(queue), LazyModelLoader(), True
    with ThreadPoolExecutor(1, thread_name_prefix="usage") as counting:
        server = ChatServer(
            queue,
            loader=loader,
            on_finished=lambda group: _count_later(counting, group),
            max_models=settings().serve_models,
            max_requests=settings().serve_sequences,
            idle_s=settings().serve_idle_s,
        )

        def is_done() -> bool:
            limit = stop_at()
            return (limit is not None and time.monotonic() >= limit) or (loader.has_loaded and server.is_empty)

        try:
            server.serve(stopping=lambda: stop_at() is not None, done=is_done)
        except RedisError:
            raise
        except Exception:  # noqa: BLE001 - the edge of the process: it restarts
            log.error("the chat server failed", traceback=format_exc())
            clean = False
        finally:
            presence.end(restarts=stop_at() is None)
    return clean


if __name__ == "__main__":
    main()
