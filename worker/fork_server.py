"""Forks processes that need torch from one that has imported it, so that jobs and checks do not wait for imports.

The server (multiprocessing's) is a child of the worker and ends with it. It never initialises CUDA, which does not
survive a fork; each child does. A job on several devices forks once more (`worker.training.launch`).
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from backend.stack.processes import die_with_parent, signal_group

PRELOADED = "worker.preloaded"
_context = multiprocessing.get_context("forkserver")


def warm() -> None:
    """Start the server; it imports in the background."""
    _context.set_forkserver_preload([PRELOADED])
    forkserver.ensure_running()


def wait_until_warm() -> None:
    """Wait until the server can fork: the lease of a job claimed earlier would not be renewed meanwhile."""
    warm()
    probe = _context.Process(target=int, daemon=True)
    probe.start()
    probe.join()


def start_trainer(arguments: Sequence[str], *, devices: int, output: Path) -> ForkServerProcess:
    """Fork a trainer with the arguments of `worker.train`; its output is appended to the file."""
    return _fork(_train, tuple(arguments), devices, output)


def run_check(check_id: str) -> int:
    """Run the check in a forked process and return its exit code."""
    process = _fork(_check, check_id)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def stop(process: ForkServerProcess, *, grace_s: float) -> None:
    """Send SIGTERM to the process and its children, and SIGKILL after `grace_s`."""
    assert process.pid is not None
    signal_group(process.pid, signal.SIGTERM)
    process.join(grace_s)
    signal_group(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _fork(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    warm()
    process = _context.Process(target=_in_child, args=(target, arguments), daemon=True)
    process.start()
    return process


def _in_child(target: Callable[..., None], arguments: Sequence[Any]) -> None:
    """Detach from the server: own session, killed with the server, default SIGTERM handler."""
    die_with_parent(os.getppid(), signal_number=signal.SIGKILL)
    os.setsid()
    multiprocessing.current_process().daemon = False  # a daemon may not have children
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    target(*arguments)


def _train(arguments: Sequence[str], devices: int, output: Path) -> None:
    from worker.training import launch

    with output.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    if devices == 1:
        sys.exit(_train_with_title(arguments))
    setproctitle(" ".join(["worker.training.launch", *arguments]))
    sys.exit(launch.launch(devices, lambda: _train_with_title(arguments)))


def _train_with_title(arguments: Sequence[str]) -> int:
    from worker import train

    setproctitle(" ".join(["worker.train", *arguments]))
    return train.main(list(arguments))


def _check(check_id: str) -> None:
    from backend import checks
    from backend.stack.logs import configure_logs
    from worker.checks.registry import HANDLERS

    setproctitle(f"worker.checks.registry {check_id}")
    configure_logs()
    checks.carry_out(check_id, handlers=HANDLERS)
