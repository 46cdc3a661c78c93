"""The child process that reads the rows of one stored file, within a memory limit, and reports its progress.

Whatever a hostile file does to the libraries that read it affects this process alone. It is forked from a fork server
that has loaded this module, dies with that server, and leaves nothing behind: it writes in a single transaction.
"""

import gc
import os
import resource
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import datasketch
import psycopg
import structlog
from sqlalchemy.orm import configure_mappers

from backend import blobs
from backend.datasets.analysis.languages import identifier
from backend.datasets.reading.store import OnBadRows, store_rows
from backend.db.base import Json
from backend.db.engine import transaction
from backend.db.files import File
from backend.errors import AppError
from backend.stack.logs import configure_logs
from backend.stack.processes import die_with_parent

log = structlog.get_logger()

# Runs once in the fork server. The children's garbage collectors skip frozen objects, so their memory stays shared.
assert psycopg.paramstyle  # SQLAlchemy would load it at the first connection
assert datasketch.MinHash  # would be loaded by the first `Findings`
configure_mappers()
identifier()
gc.collect()
gc.freeze()


def read_file(file_id: str, *, on_bad_rows: OnBadRows, memory_bytes: int, send: Callable[[Json], None]) -> None:
    """Read the file to the end. Sends `{"progress": …}` messages, then `{"done": …}` or `{"refused": …}`."""
    die_with_parent(os.getppid(), signal_number=signal.SIGKILL)
    configure_logs()
    try:
        limit_memory(memory_bytes)
        _read(file_id, on_bad_rows=on_bad_rows, send=send)
    except AppError as error:
        send(refused(error))
    except MemoryError:
        send(refused(too_large("The file could not be read", memory_bytes=memory_bytes)))
    except Exception:
        log.exception("a file could not be read", file=file_id)
        send(refused(_crashed()))
    else:
        send({"done": True})


def _read(file_id: str, *, on_bad_rows: OnBadRows, send: Callable[[Json], None]) -> None:
    def report_progress(bytes_read: int, bytes_total: int, rows: int) -> None:
        send({"progress": {"bytes_read": bytes_read, "bytes_total": bytes_total, "rows": rows}})

    with transaction() as session, tempfile.TemporaryFile() as content:
        file = session.get_one(File, file_id)
        for piece in blobs.stream(session, file.sha256):
            content.write(piece)
        store_rows(session, file, content, on_bad_rows=on_bad_rows, report_progress=report_progress)


def limit_memory(memory_bytes: int) -> None:
    """Limit the memory this process may allocate from now on: private writable pages, not mapped files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    limit = int(status["VmData"].split()[0]) * 1024 + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def refused(error: AppError) -> Json:
    return {
        "refused": {
            "message": error.message,
            "status": error.status,
            "code": error.code,
            "param": error.param,
            "type": error.type,
        }
    }


def too_large(what: str, *, memory_bytes: int) -> AppError:
    return AppError(
        f"{what}: this needs more than {memory_bytes // 1024**2} MiB of memory. Split the file, or ask the "
        "administrator to raise RLSD_READER_MEMORY_BYTES.",
        status=413,
        code="too_much_memory",
        param="file",
    )


def _crashed() -> AppError:
    return AppError(
        "The file could not be read because of an error in the server; see its log.",
        status=500,
        code="internal_error",
        type="server_error",
    )
