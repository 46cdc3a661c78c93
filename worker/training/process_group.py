"""Joins a process to its job's process group; started by `launch.py` or by torch's own launcher."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from backend.errors import AppError
from backend.jobs.resolve import X_RLSD
from worker.engine.distributed import ProcessGroup, leave_process_group

COLLECTIVE_TIMEOUT = timedelta(days=1)
"""Practically no timeout: the supervisor detects hanging processes."""


def launched() -> bool:
    """Return whether a launcher started this process as one of several."""
    return "LOCAL_RANK" in os.environ


@contextmanager
def join_process_group(*, processes: int, device: str) -> Iterator[ProcessGroup]:
    """Join the process group of the job; a job of one process needs none.

    `device` is the job's setting; each process uses the CUDA device of its rank. Raises AppError if there are fewer
    devices than processes.
    """
    if processes == 1:
        yield ProcessGroup.single()
        return
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if cuda:
        _require_devices(processes)
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=COLLECTIVE_TIMEOUT)
    yield ProcessGroup(dist.get_rank(), dist.get_world_size())
    leave_process_group()  # not after a fault: the other processes may no longer respond


def _require_devices(count: int) -> None:
    visible = torch.cuda.device_count()
    if visible < count:
        raise AppError(
            f"The job requests {count} devices, but this worker has {visible}: lower devices to {max(1, visible)}, or "
            "use a worker with more devices.",
            code="too_few_devices",
            param=f"{X_RLSD}.devices",
        )
