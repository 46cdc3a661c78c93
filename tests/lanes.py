"""The suite's pytest plugin: lanes (markers), the order of files, missing requirements, and the final summary.

Tests in `tests/browser` are in the lane `browser`, those of `tests/frontend` that use the API in `pages`, those
that use a train worker in `training`; others are marked.
"""

import os
import random
import shlex
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.machine import MISSING, chromium

REQUIRE_ALL = os.environ.get("RLSD_TESTS_REQUIRE_ALL") == "1"
"""Whether tests with missing requirements fail instead of being skipped."""
LANES = {
    "browser": "uses the pages in a real Chromium",
    "pages": "draws pages against the real API, without a browser",
    "training": "starts a training process",
    "hostile": "attacks the sandbox or the file readers",
    "slow": "starts servers of its own, fuzzes the API, fills memory or tries all settings",
}
LONGEST_FIRST = ("tests/browser", "tests/service/test_training", "tests/learning", "tests/service", "tests/frontend")
"""Slow files are distributed first, so that no process finishes long after the others."""
MAX_ID_CHARS = 100
MAX_PROCESSES = 4
"""Each process has a database and workers of its own."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle-files", type=int, metavar="SEED", help="Run the files in a random order.")


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in LANES.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return min(MAX_PROCESSES, len(os.sched_getaffinity(0)))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Shorten long texts, since ids are printed with each slow or failed test."""
    if isinstance(val, str) and len(val) > MAX_ID_CHARS:
        return f"{val[:MAX_ID_CHARS].encode('unicode_escape').decode()}... of {len(val):,} characters"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    require_distinct_ids(items)
    for item in items:
        if item.nodeid.startswith("tests/browser/"):
            item.add_marker("browser")
        if item.nodeid.startswith("tests/frontend/") and "services" in getattr(item, "fixturenames", ()):
            item.add_marker("pages")
        if "train_worker" in getattr(item, "fixturenames", ()):
            item.add_marker("training")
    seed = config.getoption("--shuffle-files")
    if seed is None:
        items.sort(key=lambda item: _rank(item.nodeid))
    else:
        files = sorted({_file(item) for item in items})
        random.Random(seed).shuffle(files)
        items.sort(key=lambda item: files.index(_file(item)))


def require_distinct_ids(items: list[pytest.Item]) -> None:
    """Raise UsageError if tests share an id: with several processes only one of them would run."""
    shared = [nodeid for nodeid, count in Counter(item.nodeid for item in items).items() if count > 1]
    if shared:
        raise pytest.UsageError(f"Several tests have the id {shared[0]}, of which pytest-xdist runs one: rename them.")


def _rank(nodeid: str) -> int:
    return next((rank for rank, start in enumerate(LONGEST_FIRST) if nodeid.startswith(start)), len(LONGEST_FIRST))


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and chromium() is None:
        pytest.skip(MISSING["Chromium"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: Any = yield
    if REQUIRE_ALL and report.skipped and _reason(report) in MISSING.values():
        report.outcome, report.longrepr = "failed", _reason(report)
    return report


def _reason(report: Any) -> str:
    """Return why a test was skipped."""
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    stats = terminalreporter.stats
    failed = sorted({report.nodeid for kind in ("failed", "error") for report in stats.get(kind, [])})
    if failed:
        terminalreporter.section("to rerun only the failed tests", red=True)
        for nodeid in failed:
            terminalreporter.line(f"make test ARGS={shlex.quote(shlex.quote(nodeid))}")
    skipped = Counter(_reason(report) for report in stats.get("skipped", []))
    skipped = Counter({reason: count for reason, count in skipped.items() if reason in MISSING.values()})
    if skipped:
        terminalreporter.section("NOT RUN ON THIS MACHINE", red=True, bold=True)
        for reason, count in skipped.items():
            terminalreporter.line(f"{count} tests were skipped: {reason}", red=True, bold=True)
