"""One question answered by a child process of its own, within bounds of memory and time.

The child is forked from the server that reads files too (`reading`), which has loaded the libraries; what a hostile
file does to them, it does to that child alone.
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


def answered_apart(work: Callable[[], Any], *, what_failed: str, deadline_s: float) -> Any | None:
    """What `work` returns, which has to be picklable as `work` has; None where the child was lost or took too long.

    `what_failed` begins the sentence about too little memory. Raises the AppError that `work` raised.
    """
    ours, theirs = _context.Pipe(duplex=False)
    child = _context.Process(
        target=_in_child, args=(work, what_failed, settings().reader_memory_bytes, theirs), name="apart", daemon=True
    )
    with ours:
        child.start()
        theirs.close()
        try:
            said: dict[str, Any] = ours.recv() if ours.poll(deadline_s) else {}
        except (EOFError, OSError):
            said = {}
        finally:
            child.kill()
            child.join()
    if "refused" in said:
        raise AppError(**said["refused"])
    return said.get("answer")


def _in_child(work: Callable[[], Any], what_failed: str, memory_bytes: int, words: Connection) -> None:
    from backend.datasets.reading import (
        child as reader,  # loaded by the server already; the process that asks has no need of it
    )

    die_with_parent(os.getppid(), signal_number=signal.SIGKILL)
    configure_logs()
    try:
        reader.limit_memory(memory_bytes)
        words.send({"answer": work()})
    except AppError as error:
        words.send(reader.refused(error))
    except Exception as error:
        if isinstance(error, MemoryError) or "out of memory" in str(getattr(error, "orig", "")):  # libpq's own words
            words.send(reader.refused(reader.too_large(what_failed, memory_bytes=memory_bytes)))
        else:
            log.exception("a child failed", doing=what_failed)
    words.close()
    os._exit(0)
