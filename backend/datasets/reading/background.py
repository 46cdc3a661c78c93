"""Reading of stored files outside of the process that was asked to: a child process each, forked from a warmed server.

The server (multiprocessing's) loads the libraries once; a child takes milliseconds to start, few read at a time, and
the memory of each is gone with it. A crash or a bomb ends that child alone, which is a refusal of its file. While a
file waits and is read, its `progress` carries the time: one whose time stands still was lost, and is given up by
`give_up_lost`, which workers call now and then.
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

AT_A_TIME = 2
"""Files of more than `LONG_BYTES`; as many shorter ones, which need not wait for those."""
LONG_BYTES = 16 * 1024**2
BEAT_S = 1.0
WAITING_BEAT_S = 15.0
LOST_S = 120.0
"""Seconds without a beat after which nobody reads a file any more."""
STUCK_S = 900.0
"""Seconds without a word from a child before it is stopped: packing, duplicates and images are told of only at their
end."""
END_S = 2.0
"""Seconds for a child to end by itself."""
ADMITTED = 32
"""Files that are read or wait for it at a time; beyond, the API would have no thread left for anything else."""
KEPT = timedelta(days=1)
"""How long a file that could not be read is kept, for its owner to see why."""
MAX_MESSAGE_BYTES = 64 * 1024

log = structlog.get_logger()
_context = multiprocessing.get_context("forkserver")
_admitted = threading.BoundedSemaphore(ADMITTED)
_places = {is_long: threading.BoundedSemaphore(AT_A_TIME) for is_long in (False, True)}


def warm() -> None:
    """Let the server load what reading needs, in the background, so that the first file need not wait for that."""
    _context.set_forkserver_preload(["backend.datasets.reading.child"])
    forkserver.ensure_running()


def read_now(file: File, *, on_bad_rows: OnBadRows) -> None:
    """Read a stored file's rows. Raises AppError where it cannot be used, and then nothing of it is kept."""
    try:
        _read(file, on_bad_rows=on_bad_rows)
    except AppError:
        with transaction() as session:
            discard(session, file.id)
        raise


def read_in_background(file: File, *, on_bad_rows: OnBadRows) -> None:
    """Begin to read a stored file's rows. One that cannot be used stays, with the reason as its `status_details`."""

    def read() -> None:
        try:
            _read(file, on_bad_rows=on_bad_rows)
        except AppError as error:
            with transaction() as session:
                _fail(session, file.id, why=error.message)
        except Exception:
            log.exception("reading was given up; a sweep will say so", file=file.id)

    threading.Thread(target=read, name=f"read {file.id}", daemon=True).start()


def give_up_lost(session: Session) -> None:
    """Files whose reader was lost are told so; those that could not be read are deleted after a day."""
    still = select(File.id).where(
        File.status == FileStatus.UPLOADED,
        func.coalesce(File.progress["at"].as_float(), func.extract("epoch", File.created_at)) < time.time() - LOST_S,
    )
    for file_id in session.scalars(still):
        _fail(session, file_id, why="The service stopped while it read the file: upload it again.")
    old = select(File.id).where(File.status == FileStatus.ERROR, File.created_at < utc_now() - KEPT)
    for file_id in session.scalars(old).all():
        discard(session, file_id)


def _read(file: File, *, on_bad_rows: OnBadRows) -> None:
    progress = {"bytes_read": 0, "bytes_total": file.size_bytes, "rows": 0}
    _beat(file, progress)
    with _place(file, progress):
        ours, theirs = _context.Pipe(duplex=False)
        child = _context.Process(
            target=_in_child,
            args=(file.id, on_bad_rows, settings().reader_memory_bytes, theirs),
            name=f"reader of {file.id}",
            daemon=True,
        )
        with ours:
            child.start()
            theirs.close()
            try:
                _follow(child, ours, file=file, progress=progress)
            finally:
                child.join(END_S)
                if child.is_alive():
                    child.kill()
                    child.join()


@contextmanager
def _place(file: File, progress: Json) -> Iterator[None]:
    """One of the few places for readers, once there is one. Raises AppError where too many wait already."""
    if not _admitted.acquire(blocking=False):
        raise AppError(
            "Too many files are waiting to be read: try again.", status=503, code="busy", type="server_error"
        )
    places = _places[file.size_bytes > LONG_BYTES]
    try:
        while not places.acquire(timeout=WAITING_BEAT_S):
            _beat(file, progress)
        try:
            yield
        finally:
            places.release()
    finally:
        _admitted.release()


def _follow(child: ForkServerProcess, words: Connection, *, file: File, progress: Json) -> None:
    """Write down how far the child is, until it is done. Raises AppError where it refused the file, or was lost."""
    heard = time.monotonic()
    while time.monotonic() - heard < STUCK_S:
        if words.poll(BEAT_S):
            try:
                said = json.loads(words.recv_bytes(MAX_MESSAGE_BYTES))
            except (EOFError, OSError, ValueError):
                raise _lost(child) from None
            heard = time.monotonic()
            if "refused" in said:
                raise AppError(**said["refused"])
            if "done" in said:
                return
            progress = said["progress"]
        _beat(file, progress)
    raise _unreadable(f"it took more than {STUCK_S / 60:g} minutes without getting on")


def _in_child(file_id: str, on_bad_rows: OnBadRows, memory_bytes: int, words: Connection) -> None:
    from backend.datasets.reading import child as reader  # loaded by the server already; this process has no need of it

    def send(said: Json) -> None:
        words.send_bytes(json.dumps(said).encode())

    reader.read_file(file_id, on_bad_rows=on_bad_rows, memory_bytes=memory_bytes, send=send)
    os._exit(0)  # nothing is left to tidy up, which would take longer than reading a small file


def _beat(file: File, progress: Json) -> None:
    with transaction() as session:
        session.execute(
            update(File)
            .where(File.id == file.id, File.status == FileStatus.UPLOADED)
            .values(progress=progress | {"at": time.time()})
        )


def _fail(session: Session, file_id: str, *, why: str) -> None:
    session.execute(
        update(File)
        .where(File.id == file_id, File.status == FileStatus.UPLOADED)
        .values(status=FileStatus.ERROR, status_details=why, progress=None)
    )


def _lost(child: ForkServerProcess) -> AppError:
    child.join(BEAT_S)
    code = child.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return _unreadable(f"it ended the process that read it ({name}); it may be damaged, or take too much memory")
    return _unreadable("it ended the process that read it; it may be damaged, or take too much memory")


def _unreadable(why: str) -> AppError:
    return AppError(f"The file could not be read: {why}.", code="unreadable_file", param="file")
