"""Rules on text: nothing that ties the project to one machine, no leftovers."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT_OVERS = re.compile(r"(T[O]DO|FIXM[E]|X[X]X)")
PACKAGE_SERVERS = re.compile(r"https?://[^ \"']*/(simple|packages|-)/")


def tracked_texts() -> dict[str, str]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    texts = {}
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        if path.is_file():
            try:
                texts[name] = path.read_text()
            except UnicodeDecodeError:
                continue
    return texts


def test_no_leftovers_and_no_package_servers() -> None:
    found = [
        f"{name}: {match.group()}"
        for name, text in tracked_texts().items()
        for pattern in (LEFT_OVERS, PACKAGE_SERVERS)
        if (match := pattern.search(text))
    ]
    assert not found


def test_constraints_pin_every_version_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.!]*", line)] == []


def test_only_settings_reads_the_environment() -> None:
    allowed = {
        "backend/settings.py",
        "backend/stack/up.py",  # passes its own environment to its children
        "backend/cli/demo.py",
        "backend/tracking/wandb.py",  # turns off what a library would report to its developers
        "worker/supervisor.py",
        "worker/training/launch.py",  # passes each process its rank
        "worker/training/process_group.py",  # gets its rank from the launcher
        "worker/sandbox/attacks.py",  # attacks that try to read it
        "worker/sandbox/probe.py",
    }
    found = [
        path.relative_to(ROOT).as_posix()
        for package in ("backend", "worker")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text())
    ]
    assert sorted(set(found) - allowed) == []
