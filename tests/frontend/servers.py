"""The API and the UI as processes of their own on free ports, as they run outside tests."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
STARTER = ROOT / "examples" / "starter"
START_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(arguments: Sequence[str], *, url: str, health: str, log: Path, **environment: str) -> Iterator[str]:
    """Start `python arguments…`, wait until `health` answers 200, give its `url`, stop it at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(url + health, process=process, log=log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(address: str, *, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        try:
            if httpx.get(address, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{address} did not answer within {START_S:g} s:\n{log.read_text()}")


@contextmanager
def running_api(log: Path, *, environment: Mapping[str, str] | None = None, port: int | None = None) -> Iterator[str]:
    port = port or free_port()
    arguments = ["-m", "uvicorn", "backend.app:app", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(arguments, url=url, health="/healthz", log=log, **(environment or {})) as address:
        yield address


@contextmanager
def running_ui(log: Path, *, api_url: str) -> Iterator[str]:
    port = free_port()
    script = str(ROOT / "frontend" / "streamlit_app.py")
    arguments = ["-m", "streamlit", "run", script, "--server.address", "127.0.0.1", "--server.port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(arguments, url=url, health="/_stcore/health", log=log, RLSD_API_URL=api_url) as address:
        yield address


@contextmanager
def running_worker(queue: str, *, log: Path) -> Iterator[None]:
    """A Celery worker of one queue, as `rlsd worker` starts it; it stops with its trainers."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "worker", "--queue", queue],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "RLSD_WEBHOOK_NETWORKS": '["127.0.0.1/32"]'},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
        assert process.poll() is None, f"the worker ended:\n{log.read_text()}"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Addresses:
    api: str
    ui: str


@contextmanager
def running_stack(logs: Path, *queues: str) -> Iterator[Addresses]:
    """API, UI, and a worker of each of these queues."""
    with ExitStack() as running:
        api = running.enter_context(running_api(logs / "api.log"))
        for queue in queues:
            running.enter_context(running_worker(queue, log=logs / f"{queue}.log"))
        yield Addresses(api, running.enter_context(running_ui(logs / "ui.log", api_url=api)))
