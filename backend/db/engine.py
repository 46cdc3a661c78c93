"""Connections: one engine a process, one session (and one commit) a request or task."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from backend.db import models
from backend.settings import settings

assert models.metadata.tables  # every process knows every table, or foreign keys would lead nowhere


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


@lru_cache(maxsize=4)
def _engine(url: str) -> Engine:
    created = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=30)
    # A forked child, a Celery worker's above all, would speak over the sockets of its parent.
    os.register_at_fork(after_in_child=partial(created.dispose, close=False))
    return created


@contextmanager
def transaction(url: str | None = None, *, project: str | None = None) -> Iterator[Session]:
    """A session that commits at the end of the block, or rolls back on an error.

    With a project it sees only what belongs to that (backend.db.projects).
    """
    with Session(engine(url), expire_on_commit=False, info={"project": project}) as session, session.begin():
        yield session
