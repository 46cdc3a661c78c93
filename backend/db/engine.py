"""Database connections: one engine per process, one session (and one commit) per request or task."""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from time import monotonic
from typing import Any

from psycopg import Error
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from backend.db import models
from backend.settings import settings

assert models.metadata.tables  # loads every table in every process: foreign keys need their targets


IDLE_S = 1.0
"""A connection that was idle for longer is tested before use: the database may have been restarted."""


def sqlalchemy_url(url: str) -> str:
    """Convert the usual `postgresql://…` to SQLAlchemy's URL with psycopg 3 as the driver."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def driver_url(url: str) -> str:
    """Convert SQLAlchemy's URL to one for psycopg."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def engine(url: str | None = None) -> Engine:
    """Return this process's only connection pool for a database, by default that of the settings."""
    return _engine(sqlalchemy_url(url or settings().required_database_url))


def engine_for_reading() -> Engine:
    """Return the same pool in autocommit mode: reads need neither BEGIN nor COMMIT."""
    return engine().execution_options(isolation_level="AUTOCOMMIT")


@lru_cache(maxsize=4)
def _engine(url: str) -> Engine:
    created = create_engine(url, pool_size=20, max_overflow=20, hide_parameters=True)  # keeps them out of tracebacks
    _test_idle_connections(created)
    # A forked child, such as a Celery worker's, would otherwise use its parent's sockets.
    os.register_at_fork(after_in_child=partial(created.dispose, close=False))
    return created


def _test_idle_connections(created: Engine) -> None:
    """Test connections like `pool_pre_ping`, but not before each of many requests in a row."""

    @event.listens_for(created, "checkin")
    def note_checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = monotonic()

    @event.listens_for(created, "checkout")
    def ping_if_idle(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        try:
            if monotonic() - record.info.get("idle_since", monotonic()) > IDLE_S or _has_input(connection):
                created.dialect.do_ping(connection)
        except Error as error:
            raise DisconnectionError from error  # the pool opens a new connection


def _has_input(connection: Any) -> bool:
    """Return whether an idle connection has unread bytes or an EOF: a database that shuts down sends them."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def open_session(*, project: str | None, reading: bool) -> Session:
    """Open a session that the caller commits and closes; one for `reading` needs neither.

    With a project, it sees only the rows of that project (backend.db.projects).
    """
    bind = engine_for_reading() if reading else engine()
    return Session(bind, expire_on_commit=False, info={"project": project})


@contextmanager
def transaction(url: str | None = None, *, project: str | None = None) -> Iterator[Session]:
    """Open a session that commits at the end of the block, or rolls back on an error.

    With a project, it sees only the rows of that project (backend.db.projects).
    """
    with Session(engine(url), expire_on_commit=False, info={"project": project}) as session, session.begin():
        yield session


@contextmanager
def snapshot(*, project: str) -> Iterator[Session]:
    """Open a session whose queries all see the same state of the database, and only rows of this project."""
    with transaction(project=project) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session


def ping() -> None:
    """Send a query to the database. Raises an error of SQLAlchemy if it does not answer."""
    with transaction() as session:
        session.execute(text("SELECT 1"))
