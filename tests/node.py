"""node and packages from npm, for the tests that need them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.machine import MISSING, node_path

needs_node = pytest.mark.skipif(node_path() is None, reason=MISSING["node"])


def install(source: Path, folder: Path) -> None:
    """Copy the files of `source` to `folder`, and install the packages of its lock file."""
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    installed = run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, timeout_s=240)
    assert installed.returncode == 0, installed.stderr


def run(command: list[str], *, cwd: Path, timeout_s: float, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `node …` or `npm …`."""
    path = node_path()
    assert path is not None
    return subprocess.run(
        [shutil.which(command[0], path=path) or command[0], *command[1:]],
        cwd=cwd,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
