"""Refusals as callers meet them, and whether it is of use to ask again."""

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool
from starlette.testclient import TestClient

from backend.api.http.errors import error_response
from backend.app import create_app
from backend.errors import AppError


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


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (409, "job_ended", "false"),
        (409, "conflict", "true"),
        (409, "idempotency_key_in_use", "true"),
        (429, "insufficient_quota", "false"),
        (429, "rate_limit_exceeded", None),
    ],
)
def test_official_clients_are_told_whether_it_is_of_use_to_ask_again(status: int, code: str, said: str | None) -> None:
    assert error_response(AppError("No.", status=status, code=code)).headers.get("x-should-retry") == said
