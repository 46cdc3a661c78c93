"""Database connections: never shared between processes, and enough for all requests."""

import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from backend.app import THREADS
from backend.db.engine import engine, transaction
from backend.stack.embedded import Services
from tests.service.conftest import Api

pytestmark = pytest.mark.slow

FORKING = """
import json, os
from sqlalchemy import text
from backend.db.engine import transaction

def server():  # the process at the other end of the connection
    with transaction() as session:
        return session.scalar(text("SELECT pg_backend_pid()"))

before = server()
receiving, sending = os.pipe()
if os.fork() == 0:
    os.write(sending, str(server()).encode())
    os._exit(0)
child = int(os.read(receiving, 100))
os.wait()
print(json.dumps({"before": before, "child": child, "after": server()}))
"""


def test_a_forked_child_has_a_connection_of_its_own_and_its_parent_keeps_its_own(services: Services) -> None:
    ran = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    at_the_other_end = json.loads(ran.stdout)
    assert at_the_other_end["child"] != at_the_other_end["before"]
    assert at_the_other_end["after"] == at_the_other_end["before"]


def test_more_requests_at_once_than_there_are_threads_and_connections_are_all_answered(api: Api) -> None:
    """No request may wait for a thread while holding a connection that all threads are waiting for."""
    path = f"/v1/fine_tuning/jobs/{api.job()['id']}/stream"

    async def begun(http: httpx.AsyncClient) -> int:
        async with http.stream("GET", path) as answer:
            return answer.status_code

    async def all_begun() -> list[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=api.url, headers=api.http.headers, limits=limits, timeout=20) as http:
            return await asyncio.gather(*(begun(http) for _ in range(5 * THREADS)))

    assert set(asyncio.run(all_begun())) == {200}


def test_parameters_of_a_failed_statement_are_not_revealed(services: Services) -> None:
    with pytest.raises(ProgrammingError) as caught, transaction() as session:
        session.execute(text("SELECT :secret FROM nothing"), {"secret": "whsec_1"})
    assert "whsec_1" not in str(caught.value)


def test_connections_that_the_database_ended_just_now_are_replaced_before_they_are_used(services: Services) -> None:
    everyone_else = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    everyone_else += " WHERE pid <> pg_backend_pid() AND application_name = 'many at once'"
    many = engine(services.database_url + "&application_name=many%20at%20once")
    with ExitStack() as held:
        first, *_ = [held.enter_context(many.connect()) for _ in range(10)]
        ended = first.scalars(text(everyone_else)).all()
    assert ended == [True] * 9
    for _ in range(10):
        with many.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
