"""`rlsd up`: complete start and stop, restart on the same data, one-sentence errors."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from backend.cli.demo import free_port
from backend.stack.up import running_application
from tests.processes import wait_for

pytestmark = pytest.mark.slow

CHOSEN_KEY = "a-key-chosen-by-the-administrator-of-the-tests"


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rlsd-") as folder:
        yield Path(folder) / "data"


def environment(home: Path, **variables: str) -> dict[str, str]:
    ours = {"DATABASE_URL", "BROKER_URL", "RLSD_ADMIN_KEY"}
    return {k: v for k, v in os.environ.items() if k not in ours} | {"RLSD_HOME": str(home)} | variables


@contextmanager
def up(home: Path, log: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli.main", "up", "--api-port", str(free_port(0)), *options],
            env=environment(home, **variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while running_application(home) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def refused(home: Path, *options: str, **variables: str) -> str:
    """Return the error of an application that does not start, one sentence."""
    process = subprocess.run(
        [sys.executable, "-m", "backend.cli.main", "up", *options],
        env=environment(home, **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 1
    lines = [line for line in process.stderr.splitlines() if line.startswith("rlsd: ")]
    assert len(lines) == 1, process.stderr
    assert "Traceback" not in process.stderr
    return lines[0]


def command_of(process: psutil.Process) -> str:
    """Return the command line; empty if the process has just ended, as those of other tests may."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def family(process: subprocess.Popen[bytes], home: Path) -> list[psutil.Process]:
    """Return all processes of the application, including its services."""
    children = psutil.Process(process.pid).children(recursive=True)
    services = [p for p in psutil.process_iter() if str(home) in command_of(p)]
    return [*children, *(p for p in services if p.pid != process.pid)]


@pytest.mark.parametrize("goodbye", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_whole_and_stops_without_leaving_anyone_behind(
    home: Path, tmp_path: Path, goodbye: signal.Signals
) -> None:
    log = tmp_path / "up.log"
    ui_port = free_port(0)
    with up(home, log, "--ui-port", str(ui_port)) as process:
        addresses = running_application(home)
        assert addresses is not None
        key = re.search(r"Admin key \(shown once\): (\S+)", log.read_text())
        assert key is not None
        headers = {"authorization": f"Bearer {key[1]}"}
        assert httpx.get(f"{addresses.api_url}/v1/models", headers=headers).status_code == 200
        assert httpx.get(f"{addresses.api_url}/readyz").status_code == 200
        assert httpx.get(f"http://127.0.0.1:{ui_port}/_stcore/health").text == "ok"
        members = family(process, home)
        assert len(members) >= 6
        ui = next(member for member in members if "streamlit" in command_of(member))
        assert not {"DATABASE_URL", "BROKER_URL"} & set(ui.environ())
        process.send_signal(goodbye)
        assert process.wait(60) == 0
    _, alive = psutil.wait_procs(members, timeout=5)
    assert [command_of(member) for member in alive] == []
    assert not (home / "running.json").exists()


def test_it_starts_again_on_the_same_data_after_a_stop_and_after_a_kill(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    with up(home, log, "--no-ui", RLSD_ADMIN_KEY=CHOSEN_KEY) as process:
        addresses = running_application(home)
        assert addresses is not None
        upload = httpx.post(
            f"{addresses.api_url}/v1/files",
            headers={"authorization": f"Bearer {CHOSEN_KEY}"},
            files={"file": ("rows.jsonl", b'{"question": "1+1?", "answer": "2"}\n')},
            data={"purpose": "fine-tune"},
            timeout=60,
        ).json()
        members = [m for m in family(process, home) if "backend.cli.main" in command_of(m)]
        process.kill()
        process.wait()
        psutil.wait_procs(members, timeout=20)
    with up(home, log, "--no-ui"):
        assert "Admin key" not in log.read_text()
        addresses = running_application(home)
        assert addresses is not None
        headers = {"authorization": f"Bearer {CHOSEN_KEY}"}
        assert httpx.get(f"{addresses.api_url}/v1/files/{upload['id']}", headers=headers).json() == upload


def test_a_port_in_use_is_named_with_its_option(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} for the API" in (sentence := refused(home, "--api-port", str(port)))
        assert "--api-port" in sentence


def test_a_folder_that_cannot_be_written_is_named() -> None:
    assert "/proc/nowhere is not writable" in refused(Path("/proc/nowhere"), "--api-port", str(free_port(0)))


def test_a_path_too_long_for_a_socket_is_refused(home: Path) -> None:
    assert "too long for a unix socket" in refused(home / ("x" * 120), "--api-port", str(free_port(0)), "--no-ui")


def test_data_of_another_postgres_is_refused(home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    (home / "postgres" / "PG_VERSION").write_text("15\n")
    assert "created by PostgreSQL 15" in refused(home, "--api-port", str(free_port(0)), "--no-ui")


@pytest.fixture(scope="module")
def running_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A running application without UI: its data folder and its process."""
    log = tmp_path_factory.mktemp("up") / "log"
    with tempfile.TemporaryDirectory(prefix="rlsd-") as folder, up(Path(folder) / "data", log, "--no-ui") as process:
        yield Path(folder) / "data", process


def test_a_second_application_on_the_same_folder_is_refused(
    running_home: tuple[Path, subprocess.Popen[bytes]],
) -> None:
    home, _ = running_home
    assert "in use by a running instance" in refused(home, "--api-port", str(free_port(0)), "--no-ui")
    addresses = json.loads((home / "running.json").read_text())
    assert addresses["ui_url"] is None


def test_a_child_that_dies_is_started_again(running_home: tuple[Path, subprocess.Popen[bytes]]) -> None:
    home, process = running_home
    addresses = running_application(home)
    assert addresses is not None
    api = next(p for p in psutil.Process(process.pid).children() if "uvicorn" in command_of(p))
    api.kill()
    api.wait(10)

    def answers() -> bool:
        try:
            return httpx.get(f"{addresses.api_url}/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    wait_for(answers, timeout_s=60, what="the API to come back")


def test_a_stale_address_is_not_mistaken_for_a_running_application(home: Path) -> None:
    home.mkdir()
    stranger = {"pid": os.getpid(), "api_url": "http://x", "ui_url": None, "database_url": "x", "broker_url": "x"}
    (home / "running.json").write_text(json.dumps(stranger))
    assert running_application(home) is None
    down = subprocess.run(
        [sys.executable, "-m", "backend.cli.main", "down"],
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "No application is running" in down.stdout


def test_urls_replace_the_embedded_services(services: object, home: Path, tmp_path: Path) -> None:
    urls = {name: os.environ[name] for name in ("DATABASE_URL", "BROKER_URL")}
    with up(home, tmp_path / "up.log", "--no-ui", **urls) as process:
        assert not (home / "postgres").exists()
        assert not (home / "valkey").exists()
        assert family(process, home)
        addresses = running_application(home)
        assert addresses is not None
        assert addresses.database_url == urls["DATABASE_URL"]
