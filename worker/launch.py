"""Starts the processes of a job that asks for several devices: `python -m worker.launch COUNT MODULE ARGUMENTS…`.

accelerate's launcher starts the module `COUNT` times, tells each its rank, and ends them all when one fails. Added
here: none outlives the launcher, and SIGTERM, by which a worker asks a trainer to stop at its next step, reaches all of
them without ending any.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from accelerate.commands.launch import launch_command, launch_command_parser
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from backend.processes import tied_command

LAST_WORDS_S = 10
"""Seconds that processes have to end when another one of theirs has failed."""


def launch(count: int, arguments: Sequence[str]) -> int:
    """Run `python -m arguments…` in `count` processes to their end; 1 when any failed."""
    options = launch_command_parser().parse_args(
        [
            *("--multi_gpu", "--num_machines", "1", "--num_processes", str(count)),
            *("--mixed_precision", "no", "--dynamo_backend", "no"),
            *("--main_process_port", "0"),  # any that is free: jobs share a machine
            "--no_python",
            *tied_command(arguments, parent_death=signal.SIGKILL),
        ]
    )
    # Of torch's launcher, which accelerate calls with these options.
    options.signals_to_handle = signal.SIGINT.name
    options.shutdown_timeout = LAST_WORDS_S
    signal.signal(signal.SIGTERM, lambda *_: _signal_children(signal.SIGTERM))
    try:
        launch_command(options)
    except ChildFailedError:
        return 1
    return 0


def _signal_children(signal_number: signal.Signals) -> None:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == os.getpid():
                    os.kill(int(folder.name), signal_number)


if __name__ == "__main__":
    sys.exit(launch(int(sys.argv[1]), sys.argv[2:]))
