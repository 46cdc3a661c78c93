"""Fast runs of `rlsd train`, `preflight` and `check`: each is forked from one process with all imports loaded.

The real command, `python -m backend.cli.main train …`, is run by `as_typed`; apart from the fork, both are the same.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.processes import ROOT

Completed = subprocess.CompletedProcess[str]


def rlsd(*arguments: str | Path) -> Completed:
    """Run `rlsd train …`, `rlsd preflight …` or `rlsd check …` to its end."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as scratch:
        output, errors = (Path(scratch) / name for name in ("output", "errors"))
        command = [str(argument) for argument in arguments]
        server.stdin.write(json.dumps([command, str(output), str(errors)]) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(command, code, output.read_text(), errors.read_text())


def as_typed(*arguments: str | Path) -> Completed:
    """Run the command as a user's shell does."""
    command = [sys.executable, "-m", "backend.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.commands"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(server.kill)
    return server


def _serve() -> None:
    """Run each received command in a fork and print its exit code. Ends when the tests close the pipe."""
    from worker.commands import check, preflight, train

    mains = {"train": train.main, "preflight": preflight.main, "check": check.main}
    for line in sys.stdin:
        command, output, errors = json.loads(line)
        child = os.fork()
        if child == 0:
            _run_and_exit(mains[command[0]], command[1:], output=Path(output), errors=Path(errors))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run_and_exit(main: Callable[[], None], arguments: list[str], *, output: Path, errors: Path) -> None:
    for path, descriptor in ((output, 1), (errors, 2)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), descriptor)
    sys.argv = ["rlsd", *arguments]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001 - top level of the process
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
