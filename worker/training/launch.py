"""Starts the processes of a job that asks for several devices: forks of this one, which has the imports already.

They find each other as those of torch's own launcher do. This process must not have met a GPU: CUDA does not survive a
fork. None outlives it; when one fails the others end; and SIGTERM, by which a worker asks a trainer to stop at its next
step, reaches all of them without ending any.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from backend.stack.processes import die_with_parent

LAST_WORDS_S = 5
"""Seconds that processes have to end when another one of theirs has failed, and again once they are told to."""


def launch(count: int, run: Callable[[], int | None]) -> int:
    """Call `run` in `count` processes, which end with the status it returns; 1 when any failed."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # a free port: jobs share a machine
    signal.signal(signal.SIGTERM, _pass_on)
    arguments = (run, count, store.port, os.getpid())
    processes = start_processes(_as_rank, arguments, nprocs=count, join=False, start_method="fork")  # type: ignore[no-untyped-call]
    try:
        while not processes.join(grace_period=LAST_WORDS_S):
            pass
    except ProcessExitedException:  # which has said why itself
        return 1
    except ProcessRaisedException as error:
        print(error.msg, file=sys.stderr)
        return 1
    return 0


def _pass_on(*_: object) -> None:
    for child in multiprocessing.active_children():
        child.terminate()


def _as_rank(rank: int, run: Callable[[], int | None], count: int, port: int, launcher: int) -> None:
    die_with_parent(launcher, signal_number=signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the launcher's, which listens already
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    sys.exit(run())
