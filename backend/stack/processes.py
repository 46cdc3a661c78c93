"""Child processes that cannot outlive their parent (Linux)."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from backend.errors import AppError

PR_SET_PDEATHSIG = 1

_RUN_TIED = (
    "import runpy, sys; from backend.stack.processes import die_with_parent; "
    "die_with_parent(int(sys.argv.pop(1)), signal_number=int(sys.argv.pop(1))); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def die_with_parent(parent_pid: int, *, signal_number: int) -> None:
    """Ask the kernel to signal this process when its parent dies; exit at once if it is already dead."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:
        raise SystemExit(1)


def tied_command(arguments: Sequence[str], *, parent_death: signal.Signals) -> list[str]:
    """Return the command `python -m arguments…` for a child of this process that calls `die_with_parent` itself.

    The child does so first: running code between fork and exec would be unsafe in a process with threads. The kernel
    watches the thread that starts the child, so that thread must stay alive.
    """
    return [sys.executable, "-c", _RUN_TIED, str(os.getpid()), str(int(parent_death)), *arguments]


def start_module(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: IO[bytes] | None,
    parent_death: signal.Signals,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `python -m arguments…` in a session of its own, tied to the calling thread's lifetime (`tied_command`)."""
    return subprocess.Popen(
        tied_command(arguments, parent_death=parent_death),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
        cwd=cwd,
    )


def signal_group(group: int, signal_number: signal.Signals) -> None:
    """Signal a process group: the child that leads it and all its descendants. Ended processes are no error."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal_number)


def stop(process: subprocess.Popen[bytes], *, grace_s: float) -> None:
    """Send SIGTERM to the process group, then SIGKILL after the grace period."""
    signal_group(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    signal_group(process.pid, signal.SIGKILL)
    process.wait()


def run_module(arguments: Sequence[str], *, refusal: str) -> None:
    """Run `python -m arguments…` to its end. Raises AppError with the message `refusal` if it fails."""
    if subprocess.run([sys.executable, "-m", *arguments], stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise AppError(refusal)
