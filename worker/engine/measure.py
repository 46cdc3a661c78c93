"""Measure time, memory and the device of a step."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from worker.engine.faults import memory_named


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Seconds of each phase of a step, the device's work included."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside. Fault, naming the phase, when memory runs out there."""
        start = time.perf_counter()
        with memory_named(name):
            yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def device_name(device: torch.device) -> str:
    """What people call the kind of device: the GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def peak_memory_bytes(device: torch.device) -> float:
    """Most memory held so far: the device's where it has its own, else the process's."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
