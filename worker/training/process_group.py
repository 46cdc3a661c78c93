"""One of several processes of a job, started by `launch.py` or any launcher of torch's: how it meets the others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from backend.errors import AppError
from backend.jobs.resolve import X_RLSD
from worker.engine.distributed import ProcessGroup, leave

PATIENCE = timedelta(days=1)
"""How long a process waits for the others; whether they hang is for the supervisor to see."""


def launched() -> bool:
    """Whether this process is one of several that a launcher started."""
    return "LOCAL_RANK" in os.environ


@contextmanager
def joined_world(*, processes: int, device: str) -> Iterator[ProcessGroup]:
    """Meet the other processes of the job; a job of one process meets nobody.

    `device` is the job's setting; each process takes the CUDA device of its rank. AppError when there are fewer.
    """
    if processes == 1:
        yield ProcessGroup.alone()
        return
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if cuda:
        _require_devices(processes)
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    yield ProcessGroup(dist.get_rank(), dist.get_world_size())
    leave()  # not after a fault: the others may be past listening


def _require_devices(count: int) -> None:
    visible = torch.cuda.device_count()
    if visible < count:
        raise AppError(
            f"The job asks for {count} devices, and this worker has {visible}: lower devices to {max(1, visible)}, or "
            "use a worker with more.",
            code="too_few_devices",
            param=f"{X_RLSD}.devices",
        )
