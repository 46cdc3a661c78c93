"""Launches the processes of a job on several devices, as forks of this one, which already has the imports.

They rendezvous through the environment variables of torch's own launcher. This process must not have initialised CUDA,
which does not survive a fork. No child outlives it; if one fails, the others are ended; and SIGTERM, the request to
stop at the next step, is forwarded to all children without ending any.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from backend.stack.processes import die_with_parent

GRACE_S = 5
"""Seconds that processes have to exit after one of them failed, and again after SIGTERM."""


def launch(count: int, run: Callable[[], int | None]) -> int:
    """Call `run` in `count` processes, which exit with the status it returns. Returns 1 if any failed, else 0."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # a free port: jobs share a machine
    signal.signal(signal.SIGTERM, _forward_sigterm)
    arguments = (run, count, store.port, os.getpid())
    processes = start_processes(_run_rank, arguments, nprocs=count, join=False, start_method="fork")  # type: ignore[no-untyped-call]
    try:
        while not processes.join(grace_period=GRACE_S):
            pass
    except ProcessExitedException:  # it has printed the reason itself
        return 1
    except ProcessRaisedException as error:
        print(error.msg, file=sys.stderr)
        return 1
    return 0


def _forward_sigterm(*_: object) -> None:
    for child in multiprocessing.active_children():
        child.terminate()


def _run_rank(rank: int, run: Callable[[], int | None], count: int, port: int, launcher: int) -> None:
    die_with_parent(launcher, signal_number=signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the launcher's store already listens
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    sys.exit(run())
