"""Error responses, and their retry headers."""

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool
from starlette.testclient import TestClient

from backend.api.http.errors import error_response
from backend.app import create_app
from backend.errors import AppError


def test_exhausted_connection_pool_gives_503_with_retry_after() -> None:
    pool = create_engine("sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0)
    app = create_app()

    @app.get("/connect")
    def connect_twice() -> None:
        with pool.connect():
            pool.connect()

    response = TestClient(app).get("/connect")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "busy")
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("status", "code", "should_retry"),
    [
        (409, "job_ended", "false"),
        (409, "conflict", "true"),
        (409, "idempotency_key_in_use", "true"),
        (429, "insufficient_quota", "false"),
        (429, "rate_limit_exceeded", None),
    ],
)
def test_should_retry_header(status: int, code: str, should_retry: str | None) -> None:
    assert error_response(AppError("No.", status=status, code=code)).headers.get("x-should-retry") == should_retry
