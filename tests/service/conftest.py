"""Fixtures for tests of the API over HTTP: a real server on a port, with a key for each test."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest
from openai import OpenAI
from sqlalchemy import text

from backend.db.engine import transaction
from backend.settings import settings

EXACT = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
PLAIN: Any = {"verify": ssl.create_default_context(), "trust_env": False}
"""Client options that load the system's certificates once, not for each client."""


@dataclass(frozen=True, slots=True)
class Api:
    """A running server; `http` sends the key, `bare` does not, `openai` is the official client."""

    url: str
    key: str
    http: httpx.Client
    bare: httpx.Client
    openai: OpenAI

    def upload(self, *rows: dict[str, Any], mapping: str | None = None) -> httpx.Response:
        """Send the rows as a file."""
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        return self.upload_bytes(content, mapping=mapping)

    def upload_bytes(self, content: bytes, mapping: str | None = None) -> httpx.Response:
        form = {"purpose": "fine-tune"} | ({} if mapping is None else {"mapping": mapping})
        return self.http.post("/v1/files", data=form, files={"file": ("rows.jsonl", content)})

    def dataset(self, count: int = 20, *, first: int = 0) -> str:
        """Store a file of `count` rows with question, answer and solution, and return its id."""
        rows = [{"question": f"{n} + {n}?", "answer": f"twice {n}\n#### {2 * n}"} for n in range(first, first + count)]
        return str(answered(self.upload(*rows))["id"])

    def job(self, *, training_file: str | None = None, **changes: Any) -> dict[str, Any]:
        """Create a queued job and return it as in the API."""
        body = job_body(training_file or self.dataset(), **changes)
        return answered(self.http.post("/v1/fine_tuning/jobs", json=body))


def answered(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def refused(response: httpx.Response, *, status: int, code: str | None = None) -> dict[str, Any]:
    """Return the error, after checking that it is complete."""
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["message"]
    assert response.headers["x-request-id"].startswith("req-")
    if code is not None:
        assert error["code"] == code
    return error


def status_without_body(api: Api, path: str, *, headers: dict[str, str]) -> int:
    """Return the status of the response to a POST whose body is announced but never sent."""
    with closing(HTTPConnection(api.url.removeprefix("http://"), timeout=10)) as connection:
        connection.putrequest("POST", path)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


def wait_until_blocked(sessions: int = 1) -> None:
    """Wait until this many database sessions are blocked by locks."""
    deadline = time.monotonic() + 20
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while True:
        with transaction() as session:
            if session.scalar(waiting) == sessions:
                return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def create_job(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    return answered(api.http.post("/v1/fine_tuning/jobs", json=body))


def job_body(training_file: str, *, x_rlsd: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    reinforcement = {"grader": changes.pop("grader", EXACT), "x_rlsd": x_rlsd or {}}
    if "hyperparameters" in changes:
        reinforcement["hyperparameters"] = changes.pop("hyperparameters")
    method = {"type": "reinforcement", "reinforcement": reinforcement}
    return {"model": "starter", "training_file": training_file, "method": method, **changes}


@pytest.fixture
def api(api_url: str, key: str) -> Iterator[Api]:
    headers = {"authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=api_url, headers=headers, timeout=60, **PLAIN) as http,
        httpx.Client(base_url=api_url, timeout=60, **PLAIN) as bare,
        httpx.Client(timeout=60, **PLAIN) as plain,
        OpenAI(base_url=f"{api_url}/v1", api_key=key, max_retries=0, timeout=60, http_client=plain) as client,
    ):
        yield Api(url=api_url, key=key, http=http, bare=bare, openai=client)


@pytest.fixture
def open_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow chat with any model of the hub."""
    monkeypatch.setenv("RLSD_CHAT_HUB_MODELS", "1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()
