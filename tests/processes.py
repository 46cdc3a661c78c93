"""Processes of the application for tests: on free ports, bound to a block, with their output in a file."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from backend.stack.processes import start_module, stop

ROOT = Path(__file__).resolve().parents[1]
STARTER = ROOT / "examples" / "starter"
START_S = 60.0
END_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], *, timeout_s: float, what: str) -> Any:
    """Wait until `condition` returns a true value, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.05)
    return found


@contextmanager
def running(
    *arguments: str, log: Path, environment: Mapping[str, str] | None = None, may_exit: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m arguments…` in the repository; it is terminated at the end of the block, and dies with the tests.

    A process that exits earlier is a failure, unless it `may_exit`.
    """
    with log.open("ab") as output:
        process = start_module(
            arguments,
            environment={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            output=output,
            parent_death=signal.SIGKILL,
            cwd=ROOT,
        )
    try:
        yield process
        assert may_exit or process.poll() is None, f"the process exited:\n{log.read_text()}"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        stop(process, grace_s=0)


@contextmanager
def serving(
    *arguments: str,
    health: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    may_exit: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in the same way, and wait until the URL `health` responds with 200."""
    with running(*arguments, log=log, environment=environment, may_exit=may_exit) as process:
        wait_for(lambda: _healthy(health, process=process, log=log), timeout_s=START_S, what=health)
        yield process


def _healthy(address: str, *, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, f"the server exited:\n{log.read_text()}"
    try:
        return httpx.get(address, timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running_api(log: Path, *, port: int | None = None, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run an API server as `rlsd api` does; yields its URL."""
    port = port or free_port()
    url, command = f"http://127.0.0.1:{port}", ("backend.cli.main", "api", "--port", str(port))
    with serving(*command, health=f"{url}/healthz", log=log, environment=environment):
        yield url


@contextmanager
def running_ui(log: Path, *, api_url: str) -> Iterator[str]:
    """Run a UI for the API at `api_url` as `rlsd ui` does; yields its URL."""
    port = free_port()
    url, command = f"http://127.0.0.1:{port}", ("backend.cli.main", "ui", "--port", str(port))
    with serving(*command, health=f"{url}/_stcore/health", log=log, environment={"RLSD_API_URL": api_url}):
        yield url


@dataclass(frozen=True, slots=True)
class Addresses:
    """The URLs of an API and a UI."""

    api: str
    ui: str


@contextmanager
def running_stack(logs: Path) -> Iterator[Addresses]:
    """Run an API and a UI for one test."""
    with running_api(logs / "api.log") as api, running_ui(logs / "ui.log", api_url=api) as ui:
        yield Addresses(api, ui)


@contextmanager
def running_worker(
    queue: str, *, log: Path, may_exit: bool = False, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker of one queue as `rlsd worker` does. It may call webhooks on this machine."""
    command = ("backend.cli.main", "worker", "--queue", queue)
    environment = {"RLSD_WEBHOOK_NETWORKS": '["127.0.0.1/32"]', **environment}
    with running(*command, log=log, environment=environment, may_exit=may_exit) as process:
        yield process


def processes_of(job_id: str) -> list[int]:
    """Return the processes on this machine that train the job, without the launcher of a multi-device job."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").split()
            except OSError:
                continue
            if b"worker.train" in words and job_id.encode() in words:
                found.append(int(process.name))
    return found
