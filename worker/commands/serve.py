"""A chat server, as `rlsd worker --queue chat` starts it: models beside this machine's GPU, asked through the broker.

torch is loaded with the first request. When the last model has been let go, the process begins anew, so that nothing
of what torch and CUDA took stays taken.
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
from backend.chat import usage
from backend.chat.redis_keys import QUEUE
from backend.chat.server_queue import RequestQueue
from backend.db.engine import transaction
from backend.settings import settings
from backend.stack.logs import configure_logs
from worker.serving.server import ChatServer

if TYPE_CHECKING:
    from worker.serving.model_runner import ModelRunner
    from worker.serving.sequence import SequenceGroup

PRESENCE_S = 3.0
PAUSE_S = 1.0
"""Before beginning anew after an error."""
log = structlog.get_logger()


class LazyModelLoader:
    """Loads the engine with the first model."""

    has_opened = False

    def look_at(self, base: str) -> None:
        from worker.serving.model_loading import look_at

        look_at(base)

    def open(self, base: str) -> "ModelRunner":
        self.has_opened = True
        from worker.serving.model_loading import open_host

        started = time.monotonic()
        host = open_host(base)
        log.info("a model is held", model=base, seconds=round(time.monotonic() - started, 2))
        return host

    def has_closed(self) -> None:
        from worker.serving.model_runner import free_memory

        free_memory()


class Presence:
    """Says that this server is there: to callers through the broker, to people through the database."""

    def __init__(self, desk: RequestQueue) -> None:
        self._desk = desk
        self._facts = workers.facts([QUEUE], sandbox_level=0)  # it runs nobody's code
        self._leaving = threading.Event()
        self._desk.is_here()
        self._thread = threading.Thread(target=self._keep_saying, name="presence", daemon=True)
        self._thread.start()

    def end(self, *, comes_back: bool) -> None:
        self._leaving.set()
        self._thread.join()
        if not comes_back:
            with suppress(RedisError):
                self._desk.is_gone()
            with suppress(SQLAlchemyError), transaction() as session:
                workers.leave(session, self._facts)

    def _keep_saying(self) -> None:
        reported = -workers.REPORT_S
        while True:
            try:
                self._desk.is_here()
                if time.monotonic() - reported >= workers.REPORT_S:
                    with transaction() as session:
                        workers.report(session, self._facts)
                    reported = time.monotonic()
            except (RedisError, SQLAlchemyError) as error:
                log.warning("presence could not be told", error=str(error))
            if self._leaving.wait(PRESENCE_S):
                return


def count(talk: "SequenceGroup") -> None:
    asked = talk.asked
    try:
        with transaction() as session:
            usage.count(
                session,
                project=asked.project,
                model=asked.model,
                prompt_tokens=len(talk.context.ids),
                completion_tokens=talk.completion_tokens,
            )
    except SQLAlchemyError as error:
        log.error("usage was not counted", request=asked.id, error=str(error))


def _later(counting: ThreadPoolExecutor, talk: "SequenceGroup") -> None:
    counting.submit(count, talk)


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
            log.error("the broker does not answer", error=str(error))
            time.sleep(PAUSE_S)
    if stop_at is None:
        time.sleep(PAUSE_S if failed else 0)
        os.execv(sys.executable, [sys.executable, "-m", "worker.commands.serve"])  # noqa: S606


def serve(stop_at: Callable[[], float | None]) -> bool:
    """Until it is to be stopped, or to begin anew. False where it failed."""
    desk = RequestQueue(broker_url=settings().required_broker_url, name=f"{socket.gethostname()}:{os.getpid()}")
    presence, opener, clean = Presence(desk), LazyModelLoader(), True
    with ThreadPoolExecutor(1, thread_name_prefix="usage") as counting:
        server = ChatServer(
            desk,
            opener=opener,
            ended=lambda talk: _later(counting, talk),
            most_models=settings().serve_models,
            most_requests=settings().serve_sequences,
            idle_s=settings().serve_idle_s,
        )

        def is_done() -> bool:
            limit = stop_at()
            return (limit is not None and time.monotonic() >= limit) or (opener.has_opened and server.holds_nothing)

        try:
            server.serve(stopping=lambda: stop_at() is not None, done=is_done)
        except RedisError:
            raise
        except Exception:  # noqa: BLE001 - the edge of the process: it begins anew
            log.error("the chat server failed", traceback=format_exc())
            clean = False
        finally:
            presence.end(comes_back=stop_at() is None)
    return clean


if __name__ == "__main__":
    main()
