"""Inside a child process: reads the rows of one stored file, within bounds of memory, and tells how that goes.

Whatever a hostile file does to the libraries that read it, it does to this process alone. It is forked from a server
that has loaded this module (`reading`), ends with that server, and leaves nothing behind: its rows are one transaction.
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
from backend.datasets.reading.store import OnBadRows, take_rows
from backend.db.base import Json
from backend.db.engine import transaction
from backend.db.files import File
from backend.errors import AppError
from backend.stack.logs import configure_logs
from backend.stack.processes import die_with_parent

log = structlog.get_logger()

# Once in the server, for all children. What is frozen is not looked at by their collectors, and so stays shared memory.
assert psycopg.paramstyle  # SQLAlchemy would load it at the first connection
assert datasketch.MinHash  # loaded by the first findings otherwise
configure_mappers()
identifier()
gc.collect()
gc.freeze()


def read_file(file_id: str, *, on_bad_rows: OnBadRows, memory_bytes: int, send: Callable[[Json], None]) -> None:
    """Read the file to the end and send `{"progress": …}` on the way, then `{"done": …}` or `{"refused": …}`."""
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
    def tell(bytes_read: int, bytes_total: int, rows: int) -> None:
        send({"progress": {"bytes_read": bytes_read, "bytes_total": bytes_total, "rows": rows}})

    with transaction() as session, tempfile.TemporaryFile() as content:
        file = session.get_one(File, file_id)
        for piece in blobs.stream(session, file.sha256):
            content.write(piece)
        take_rows(session, file, content, on_bad_rows=on_bad_rows, tell=tell)


def limit_memory(memory_bytes: int) -> None:
    """So much beyond what the process has now. Counted are private pages that can be written, not mapped files."""
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
        f"{what}: that takes more than {memory_bytes // 1024**2} MiB of memory. Split it, or have the administrator "
        "raise RLSD_READER_MEMORY_BYTES.",
        status=413,
        code="too_much_memory",
        param="file",
    )


def _crashed() -> AppError:
    return AppError(
        "The file could not be read: the server failed on it, and its log says why.",
        status=500,
        code="internal_error",
        type="server_error",
    )
