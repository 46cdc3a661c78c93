"""Execution of one function in a child process, with limits on memory and time.

The child is forked from the fork server of `reading.background`, which has loaded the libraries; whatever a hostile
file does to them affects that child alone.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import structlog

from backend.errors import AppError
from backend.settings import settings
from backend.stack.logs import configure_logs
from backend.stack.processes import die_with_parent

log = structlog.get_logger()
_context = multiprocessing.get_context("forkserver")


def run_isolated(work: Callable[[], Any], *, what_failed: str, deadline_s: float) -> Any | None:
    """Return the result of `work`; None if the child was lost or timed out. `work` and its result must be picklable.

    `what_failed` begins the message about too little memory. Raises the AppError that `work` raised.
    """
    receiver, sender = _context.Pipe(duplex=False)
    child = _context.Process(
        target=_in_child, args=(work, what_failed, settings().reader_memory_bytes, sender), name="isolated", daemon=True
    )
    with receiver:
        child.start()
        sender.close()
        try:
            message: dict[str, Any] = receiver.recv() if receiver.poll(deadline_s) else {}
        except (EOFError, OSError):
            message = {}
        finally:
            child.kill()
            child.join()
    if "refused" in message:
        raise AppError(**message["refused"])
    return message.get("result")


def _in_child(work: Callable[[], Any], what_failed: str, memory_bytes: int, sender: Connection) -> None:
    from backend.datasets.reading import child as reader  # preloaded by the fork server; the parent does not need it

    die_with_parent(os.getppid(), signal_number=signal.SIGKILL)
    configure_logs()
    try:
        reader.limit_memory(memory_bytes)
        sender.send({"result": work()})
    except AppError as error:
        sender.send(reader.refused(error))
    except Exception as error:
        if isinstance(error, MemoryError) or "out of memory" in str(getattr(error, "orig", "")):  # libpq's message
            sender.send(reader.refused(reader.too_large(what_failed, memory_bytes=memory_bytes)))
        else:
            log.exception("an isolated child process failed", what_failed=what_failed)
    sender.close()
    os._exit(0)
