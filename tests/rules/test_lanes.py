"""The suite's own output: skipped tests are reported with their reason, and failed tests with how to rerun them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lanes import require_distinct_ids
from tests.processes import ROOT

pytestmark = pytest.mark.slow

SEEDS = ((), ("--shuffle-files", "7"), ("--shuffle-files", "7"))
NO_BROWSER = {"PATH": "/usr/bin-without-any", "PLAYWRIGHT_BROWSERS_PATH": "/nowhere"}


def run_of(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder with the suite's plugin alone: the others take seconds to import."""
    alone = ["-c", os.devnull, "--rootdir", folder]
    return run_pytest(folder, *alone, *arguments, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


def run_pytest(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "RLSD_"))}
    command = [sys.executable, "-m", "pytest", "-p", "tests.lanes", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        env={**outside, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("required", [False, True])
def test_tests_without_a_browser_are_skipped_with_a_warning_or_fail_if_required(*, required: bool) -> None:
    run = run_pytest(
        "tests/browser/test_privacy.py", **NO_BROWSER, **({"RLSD_TESTS_REQUIRE_ALL": "1"} if required else {})
    )
    assert run.returncode == (1 if required else 0), run.stdout
    assert "needs a Chromium or Chrome: install the package `chromium`" in run.stdout
    assert ("NOT RUN ON THIS MACHINE" in run.stdout) is not required
    assert ("2 tests were skipped" in run.stdout) is not required


def test_a_failing_run_ends_with_how_to_rerun_the_failed_tests(tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text(
        "import pytest\n\n@pytest.mark.parametrize('n', ['a b', 'c'])\ndef test_it(n):\n    assert n == 'c'\n"
    )
    run = run_of(tmp_path)
    assert run.returncode == 1
    assert "make test ARGS=" in run.stdout
    assert "test_two.py::test_it[a b]" in run.stdout[run.stdout.index("to rerun only the failed tests") :]
    assert "[c]" not in run.stdout


def test_tests_with_the_same_id_are_refused_since_one_of_them_would_run(request: pytest.FixtureRequest) -> None:
    require_distinct_ids([request.node])
    with pytest.raises(pytest.UsageError, match=r"have the id .*test_lanes\.py::test_tests_with_the_same_id"):
        require_distinct_ids([request.node, request.node])


def test_the_seed_determines_the_order_of_files(tmp_path: Path) -> None:
    for name in "abcdefgh":
        (tmp_path / f"test_{name}.py").write_text("def test_one():\n    pass\n\ndef test_two():\n    pass\n")
    orders = [collected(run_of(tmp_path, "--collect-only", "-q", *seed)) for seed in SEEDS]
    assert orders[0] != orders[1] == orders[2]
    for order in orders:
        assert len(order) == 16
        files = [nodeid.partition("::")[0] for nodeid in order]
        assert files[::2] == files[1::2]


def collected(run: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in run.stdout.splitlines() if "::" in line]
