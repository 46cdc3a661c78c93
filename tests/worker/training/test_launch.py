"""Several processes of one job: they end with their launcher, and get its SIGTERM."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.stack.processes import start_module, stop

pytestmark = pytest.mark.training

ROOT = Path(__file__).parents[3]


def started(folder: Path, conduct: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start the launcher; returns it and the pids of its processes."""
    launcher = start_module(
        ["tests.worker.training.launched", str(folder), conduct],
        environment=os.environ,
        output=None,
        parent_death=signal.SIGKILL,
        cwd=ROOT,
    )
    until(lambda: all((folder / rank).exists() and (folder / rank).read_text() for rank in "01"))
    return launcher, [int((folder / rank).read_text()) for rank in "01"]


def until(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_request_to_stop_reaches_every_process_and_ends_none_before_its_time(tmp_path: Path) -> None:
    launcher, _ = started(tmp_path, "obeys")
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(30) == 0
    assert sorted(path.name for path in tmp_path.glob("obeyed.*")) == ["obeyed.0", "obeyed.1"]


def test_a_process_that_fails_ends_the_others(tmp_path: Path) -> None:
    launcher, pids = started(tmp_path, "fails")
    assert launcher.wait(60) == 1
    assert not any(running(pid) for pid in pids)


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_none_outlives_the_launcher(tmp_path: Path, end: signal.Signals | None) -> None:
    launcher, pids = started(tmp_path, "obeys")
    assert all(running(pid) for pid in pids)
    if end is None:
        stop(launcher, grace_s=0.1)
    else:
        launcher.send_signal(end)
        launcher.wait(30)
    until(lambda: not any(running(pid) for pid in pids), timeout_s=5)


def test_a_device_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.errors import AppError
    from worker.training.process_group import join_process_group

    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(AppError, match=r"requests 64 devices, but this worker has \d+: lower devices to") as refusal:  # noqa: SIM117
        with join_process_group(processes=64, device="cuda"):
            pass
    assert refusal.value.param == "method.reinforcement.x_rlsd.devices"


def test_a_job_of_one_process_joins_no_group_whatever_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.training.process_group import join_process_group

    monkeypatch.setenv("WORLD_SIZE", "4")
    with join_process_group(processes=1, device="cpu") as world:
        assert (world.rank, world.size, world.is_leader) == (0, 1, True)
