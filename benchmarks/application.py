"""The whole application with its own data folder, started by `rlsd up`."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.cli.demo import free_port
from backend.stack.up import Addresses, running_application

START_TIMEOUT_S = 120.0
KEY = "rlsd-key-of-the-benchmarks-and-nothing-else"


@contextmanager
def running(*, ui: bool = False) -> Iterator[tuple[Addresses, Path]]:
    """Run the application; yield its addresses and data folder, which is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="rlsd-") as folder:
        home = Path(folder)
        page = ["--ui-port", str(free_port(8501))] if ui else ["--no-ui"]
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli.main", "up", "--api-port", str(free_port(8000)), *page],
            env=os.environ | {"RLSD_HOME": folder, "RLSD_ADMIN_KEY": KEY},
            stdout=subprocess.DEVNULL,
        )
        try:
            yield _wait_for(home, process), home
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait_for(home: Path, process: subprocess.Popen[bytes]) -> Addresses:
    deadline = time.monotonic() + START_TIMEOUT_S
    while (addresses := running_application(home)) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("The application did not start.")
        time.sleep(0.05)
    return addresses
