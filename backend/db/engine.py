"""Connections: one engine a process, one session (and one commit) a request or task."""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from time import monotonic
from typing import Any

from psycopg import Error
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from backend.db import models
from backend.settings import settings

assert models.metadata.tables  # every process knows every table, or foreign keys would lead nowhere


REST_S = 1.0
"""A connection that has rested for longer is tried before it is used: the database may have been restarted."""


def sqlalchemy_url(url: str) -> str:
    """`postgresql://…` as users write it, with psycopg 3 as the driver."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def driver_url(url: str) -> str:
    """The URL as psycopg itself takes it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def engine(url: str | None = None) -> Engine:
    """The one pool of connections of this process to a database, that of the settings unless another is named."""
    return _engine(sqlalchemy_url(url or settings().required_database_url))


def engine_for_reading() -> Engine:
    """The same pool, where each statement stands for itself: it sees no less, and needs neither BEGIN nor COMMIT."""
    return engine().execution_options(isolation_level="AUTOCOMMIT")


@lru_cache(maxsize=4)
def _engine(url: str) -> Engine:
    created = create_engine(url, pool_size=20, max_overflow=20, hide_parameters=True)  # they end up in tracebacks
    _look_after_rest(created)
    # A forked child, a Celery worker's above all, would speak over the sockets of its parent.
    os.register_at_fork(after_in_child=partial(created.dispose, close=False))
    return created


def _look_after_rest(created: Engine) -> None:
    """What `pool_pre_ping` does, without asking before each of many requests in a row."""

    @event.listens_for(created, "checkin")
    def note(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["rests_since"] = monotonic()

    @event.listens_for(created, "checkout")
    def look(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        try:
            if monotonic() - record.info.get("rests_since", monotonic()) > REST_S or _was_told_something(connection):
                created.dialect.do_ping(connection)
        except Error as error:
            raise DisconnectionError from error  # the pool opens another


def _was_told_something(connection: Any) -> bool:
    """Whether bytes or an end lie at a connection that asked for nothing: a database that ends says so."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


@contextmanager
def transaction(url: str | None = None, *, project: str | None = None) -> Iterator[Session]:
    """A session that commits at the end of the block, or rolls back on an error.

    With a project it sees only what belongs to that (backend.db.projects).
    """
    with Session(engine(url), expire_on_commit=False, info={"project": project}) as session, session.begin():
        yield session
