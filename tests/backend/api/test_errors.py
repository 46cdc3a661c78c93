"""Faults of the database as callers meet them."""

from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool
from starlette.testclient import TestClient

from backend.app import create_app


def test_where_no_connection_comes_free_the_caller_is_told_when_to_come_back() -> None:
    pool = create_engine("sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0)
    app = create_app()

    @app.get("/asking")
    def ask() -> None:
        with pool.connect():
            pool.connect()

    answer = TestClient(app).get("/asking")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    assert int(answer.headers["retry-after"]) > 0
