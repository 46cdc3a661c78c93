"""Packages from npm, for the tests that need them."""

import shutil
import subprocess
from pathlib import Path

import pytest

LEAST_NODE = 20


def node_version() -> int:
    """0 where there is none."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return 0
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.strip().removeprefix("v").partition(".")[0])


needs_node = pytest.mark.skipif(
    node_version() < LEAST_NODE, reason=f"needs node {LEAST_NODE} or newer, and npm, in the PATH"
)


def install(source: Path, folder: Path) -> None:
    """The files of `source` into `folder`, with the packages that its lock file names."""
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    installed = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, timeout=240
    )
    assert installed.returncode == 0, installed.stderr
