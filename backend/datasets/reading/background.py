"""Reading of stored files in child processes, each forked from a preloaded fork server.

The fork server (multiprocessing's) loads the libraries once; a child starts in milliseconds, few run at a time, and the
memory of each is freed with it. A crash or a decompression bomb ends only that child, and its file is refused. While a
file waits and is read, a timestamp in its `progress` is updated; files with an old one were lost and are marked as
failed by `give_up_lost`, which workers call regularly.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.datasets.reading.store import OnBadRows, discard
from backend.db.base import Json, utc_now
from backend.db.engine import transaction
from backend.db.files import File, FileStatus
from backend.errors import AppError
from backend.settings import settings

CONCURRENT_READERS = 2
"""Concurrent readers of files above `LARGE_BYTES`; as many again for smaller files, so that these need not wait."""
LARGE_BYTES = 16 * 1024**2
HEARTBEAT_S = 1.0
QUEUED_HEARTBEAT_S = 15.0
LOST_S = 120.0
"""Seconds without a heartbeat after which the reader of a file counts as lost."""
STUCK_S = 900.0
"""Seconds without a message from a child before it is killed: unpacking, duplicates and images are reported only when
they are done."""
EXIT_S = 2.0
"""Seconds for a child to exit by itself."""
MAX_PENDING = 32
"""Files being read or waiting at a time; more would leave the API no threads for other requests."""
KEPT = timedelta(days=1)
"""How long a file that could not be read is kept, so that its owner sees the reason."""
MAX_MESSAGE_BYTES = 64 * 1024

log = structlog.get_logger()
_context = multiprocessing.get_context("forkserver")
_pending = threading.BoundedSemaphore(MAX_PENDING)
_readers = {is_large: threading.BoundedSemaphore(CONCURRENT_READERS) for is_large in (False, True)}
"""Of this process, like the fork server of its children: they share its memory and the threads that wait for them."""


def warm() -> None:
    """Start the fork server, which loads the readers' libraries in the background, before the first file arrives."""
    _context.set_forkserver_preload(["backend.datasets.reading.child"])
    forkserver.ensure_running()


def read_now(file: File, *, on_bad_rows: OnBadRows) -> None:
    """Read a stored file's rows. Raises AppError and deletes the file if it cannot be used."""
    try:
        _read(file, on_bad_rows=on_bad_rows)
    except AppError:
        with transaction() as session:
            discard(session, file.id)
        raise


def read_in_background(file: File, *, on_bad_rows: OnBadRows) -> None:
    """Start reading a stored file's rows. A file that cannot be used is kept, with the reason in `status_details`."""

    def read() -> None:
        try:
            _read(file, on_bad_rows=on_bad_rows)
        except AppError as error:
            with transaction() as session:
                _fail(session, file.id, reason=error.message)
        except Exception:
            log.exception("reading the file failed; a sweep will mark it as failed", file=file.id)

    threading.Thread(target=read, name=f"read {file.id}", daemon=True).start()


def give_up_lost(session: Session) -> None:
    """Mark files with a lost reader as failed; delete failed files after a day."""
    lost = select(File.id).where(
        File.status == FileStatus.UPLOADED,
        func.coalesce(File.progress["at"].as_float(), func.extract("epoch", File.created_at)) < time.time() - LOST_S,
    )
    for file_id in session.scalars(lost):
        _fail(session, file_id, reason="The service stopped while reading the file: upload it again.")
    old = select(File.id).where(File.status == FileStatus.ERROR, File.created_at < utc_now() - KEPT)
    for file_id in session.scalars(old).all():
        discard(session, file_id)


def _read(file: File, *, on_bad_rows: OnBadRows) -> None:
    progress = {"bytes_read": 0, "bytes_total": file.size_bytes, "rows": 0}
    _heartbeat(file, progress)
    with _reader_slot(file, progress):
        receiver, sender = _context.Pipe(duplex=False)
        child = _context.Process(
            target=_in_child,
            args=(file.id, on_bad_rows, settings().reader_memory_bytes, sender),
            name=f"reader of {file.id}",
            daemon=True,
        )
        with receiver:
            child.start()
            sender.close()
            try:
                _follow(child, receiver, file=file, progress=progress)
            finally:
                child.join(EXIT_S)
                if child.is_alive():
                    child.kill()
                    child.join()


@contextmanager
def _reader_slot(file: File, progress: Json) -> Iterator[None]:
    """Wait for a free reader and hold it. Raises AppError if too many files are waiting already."""
    if not _pending.acquire(blocking=False):
        raise AppError(
            "Too many files are waiting to be read: try again later.", status=503, code="busy", type="server_error"
        )
    readers = _readers[file.size_bytes > LARGE_BYTES]
    try:
        while not readers.acquire(timeout=QUEUED_HEARTBEAT_S):
            _heartbeat(file, progress)
        try:
            yield
        finally:
            readers.release()
    finally:
        _pending.release()


def _follow(child: ForkServerProcess, receiver: Connection, *, file: File, progress: Json) -> None:
    """Store the child's progress until it is done. Raises AppError if it refused the file or was lost."""
    last_message = time.monotonic()
    while time.monotonic() - last_message < STUCK_S:
        if receiver.poll(HEARTBEAT_S):
            try:
                message = json.loads(receiver.recv_bytes(MAX_MESSAGE_BYTES))
            except (EOFError, OSError, ValueError):
                raise _lost(child) from None
            last_message = time.monotonic()
            if "refused" in message:
                raise AppError(**message["refused"])
            if "done" in message:
                return
            progress = message["progress"]
        _heartbeat(file, progress)
    raise _unreadable(f"there was no progress for {STUCK_S / 60:g} minutes")


def _in_child(file_id: str, on_bad_rows: OnBadRows, memory_bytes: int, sender: Connection) -> None:
    from backend.datasets.reading import child as reader  # preloaded by the fork server; the parent does not need it

    def send(message: Json) -> None:
        sender.send_bytes(json.dumps(message).encode())

    reader.read_file(file_id, on_bad_rows=on_bad_rows, memory_bytes=memory_bytes, send=send)
    os._exit(0)  # skips the interpreter's cleanup, which would take longer than reading a small file


def _heartbeat(file: File, progress: Json) -> None:
    with transaction() as session:
        session.execute(
            update(File)
            .where(File.id == file.id, File.status == FileStatus.UPLOADED)
            .values(progress=progress | {"at": time.time()})
        )


def _fail(session: Session, file_id: str, *, reason: str) -> None:
    session.execute(
        update(File)
        .where(File.id == file_id, File.status == FileStatus.UPLOADED)
        .values(status=FileStatus.ERROR, status_details=reason, progress=None)
    )


def _lost(child: ForkServerProcess) -> AppError:
    child.join(HEARTBEAT_S)
    code = child.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return _unreadable(f"its reader process crashed ({name}); the file may be damaged or need too much memory")
    return _unreadable("its reader process crashed; the file may be damaged or need too much memory")


def _unreadable(reason: str) -> AppError:
    return AppError(f"The file could not be read: {reason}.", code="unreadable_file", param="file")
