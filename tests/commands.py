"""`rlsd train` and its kin without their imports: each run is forked from one process that has them.

What a user types, `python -m backend.cli.main train …`, is run once (`as_typed`); what follows differs by the
fork alone.
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
        words = [str(argument) for argument in arguments]
        server.stdin.write(json.dumps([words, str(output), str(errors)]) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(words, code, output.read_text(), errors.read_text())


def as_typed(*arguments: str | Path) -> Completed:
    """The same as a user's shell starts it."""
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
    """Run each command that comes in, in a fork; answer its exit code. Ends with the tests, whose pipe closes."""
    from worker.commands import check, preflight, train

    mains = {"train": train.main, "preflight": preflight.main, "check": check.main}
    for line in sys.stdin:
        words, output, errors = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(mains[words[0]], words[1:], output=Path(output), errors=Path(errors))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(main: Callable[[], None], arguments: list[str], *, output: Path, errors: Path) -> None:
    for path, descriptor in ((output, 1), (errors, 2)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), descriptor)
    sys.argv = ["rlsd", *arguments]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001 - the edge of a process
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
