"""Two processes never speak over one connection to the database."""

import multiprocessing
from multiprocessing.connection import Connection

from sqlalchemy import text

from backend.db.engine import transaction
from backend.embedded import Services


def backend_pid() -> int:
    """That of the server's process at the other end of the connection."""
    with transaction() as session:
        return int(session.scalar(text("SELECT pg_backend_pid()")) or 0)


def tell_backend_pid(pipe: Connection) -> None:
    pipe.send(backend_pid())


def test_a_forked_child_has_a_connection_of_its_own_and_its_parent_keeps_its_own(services: Services) -> None:
    own = backend_pid()
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=tell_backend_pid, args=(sending,))
    child.start()
    assert receiving.poll(30)
    assert receiving.recv() != own
    child.join(30)
    assert child.exitcode == 0
    assert backend_pid() == own
