"""Running a command in the foreground: what a person can mend is one sentence, and the exit code is 1."""

import sys
from collections.abc import Callable
from typing import Any

from backend.cli.standalone import run_standalone
from backend.errors import AppError
from worker.engine.distributed import ProcessLost
from worker.faults import classify


def run_in_foreground(command: Callable[..., Any], *, name: str) -> None:
    """Run the command; exit with 1 after an error, which is printed. A bug is shown with its traceback."""
    try:
        run_standalone(command, name=name)
    except (AppError, ValueError, MemoryError) as error:
        print(f"rlsd: {classify(error)['message']}", file=sys.stderr)
        sys.exit(1)
    except ProcessLost:  # the process that failed has printed the reason
        sys.exit(1)
