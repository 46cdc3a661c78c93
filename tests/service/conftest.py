"""The API as its users meet it: a real server on a port, over HTTP, with a key made for the test."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from openai import OpenAI
from sqlalchemy import text

from backend.app import create_app
from backend.db.engine import transaction
from backend.db.keys import create_key
from backend.embedded import Services
from backend.settings import settings
from tests.service.training import worker

EXACT = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}


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
        """The id of a stored file of `count` rows with question, answer and solution."""
        rows = [{"question": f"{n} + {n}?", "answer": f"twice {n}\n#### {2 * n}"} for n in range(first, first + count)]
        return str(answered(self.upload(*rows))["id"])

    def job(self, **changes: Any) -> dict[str, Any]:
        """A queued job, as the API shows it."""
        return answered(self.http.post("/v1/fine_tuning/jobs", json=job_body(self.dataset(), **changes)))


def answered(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def refused(response: httpx.Response, *, status: int, code: str | None = None) -> dict[str, Any]:
    """The error's detail, which has to be whole whatever went wrong."""
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["message"]
    assert response.headers["x-request-id"].startswith("req-")
    if code is not None:
        assert error["code"] == code
    return error


def status_without_body(api: Api, path: str, *, headers: dict[str, str]) -> int:
    """The status of the answer to a POST whose body is announced and never sent."""
    with closing(HTTPConnection(api.url.removeprefix("http://"), timeout=10)) as connection:
        connection.putrequest("POST", path)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


def until_locked_out(sessions: int = 1) -> None:
    """Holds on until so many sessions of the database wait for what another one has locked."""
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


@pytest.fixture(scope="session")
def api_url(services: Services) -> Iterator[str]:
    config = uvicorn.Config(create_app(), host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)
    assert not thread.is_alive()


@pytest.fixture
def api(api_url: str, clean_database: Services) -> Iterator[Api]:
    with transaction() as session:
        _, key = create_key(session, name="test")
    headers = {"authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=api_url, headers=headers, timeout=60) as http,
        httpx.Client(base_url=api_url, timeout=60) as bare,
        OpenAI(base_url=f"{api_url}/v1", api_key=key, max_retries=0, timeout=60) as client,
    ):
        yield Api(url=api_url, key=key, http=http, bare=bare, openai=client)


@pytest.fixture
def open_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chat may ask for any model of the hub."""
    monkeypatch.setenv("RLSD_CHAT_HUB_MODELS", "1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="session")
def check_worker(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real worker of the `check` queue, as `rlsd worker` starts it: its process id."""
    with running_worker("check", log=tmp_path_factory.mktemp("check-worker") / "log") as pid:
        yield pid


@pytest.fixture(scope="module")
def sample_worker(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The same for the `sample` queue. It is gone where other modules start workers with models that it knows not."""
    with running_worker("sample", log=tmp_path_factory.mktemp("sample-worker") / "log") as pid:
        yield pid


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for a tiny model."""
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def train_worker(clean_database: Services, models: Path, tmp_path: Path) -> Iterator[Path]:
    """A worker of the `train` queue, for this test alone; gives its log."""
    log = tmp_path / "worker.log"
    with worker("train", models=models, log=log):
        yield log


@contextmanager
def running_worker(queue: str, *, log: Path) -> Iterator[int]:
    """May tell webhooks on this machine; leaves sweeping to the tests, but for its start."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "worker", "--queue", queue],
            env={**os.environ, "RLSD_WEBHOOK_NETWORKS": '["127.0.0.1/32"]', "RLSD_SWEEP_S": "86400"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    yield process.pid
    still_running = process.poll() is None
    process.terminate()
    try:
        process.wait(30)
    finally:
        process.kill()
        process.wait()
    assert still_running, log.read_text()
