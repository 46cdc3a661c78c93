"""Data parallelism: ranks, each rank's share of the work, and the collectives that combine results.

Every process takes the same steps with the same weights. Random choices and decisions (the batch, dead groups, hints,
lambda, control signals) are equal everywhere; expensive work (sampling, scoring, teacher and backward passes) is
sharded and its results are combined here. All processes must call the same collectives in the same order. With one
process the collectives are free.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


class ProcessLost(Exception):  # noqa: N818 - the fault is in another process, not in this one
    """Another process of the run has exited, so the run cannot continue."""


def no_wait() -> None:
    """Do nothing: the `catch_up` of processes that each hold the whole model."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of one run. With more than one, torch's default process group must be initialised."""

    rank: int
    """Rank of this process, from 0."""
    size: int
    """Number of processes (torch's world size)."""
    catch_up: Callable[[], None] = no_wait
    """Called before every collective; a sharded model (`sharding.py`) joins the others' remaining passes here."""

    @classmethod
    def single(cls) -> "ProcessGroup":
        """Return the group of a run in one process."""
        return cls(0, 1)

    @property
    def is_leader(self) -> bool:
        """True in the one process that reports to the observer."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return this process' slice of `count` items; sizes differ by one at most, larger ones first."""
        base, remainder = divmod(count, self.size)
        start = self.rank * base + min(self.rank, remainder)
        return slice(start, start + base + (self.rank < remainder))

    def all_gather(self, own: T) -> list[T]:
        """Gather a picklable value from every process, in order of rank."""
        if self.size == 1:
            return [own]
        self.catch_up()
        gathered: list[Any] = [None] * self.size
        run_collective(lambda: dist.all_gather_object(gathered, own))
        return gathered

    def broadcast(self, value: T) -> T:
        """Return the leader's value; the other processes' values are ignored."""
        if self.size == 1:
            return value
        self.catch_up()
        objects: list[Any] = [value if self.is_leader else None]
        run_collective(lambda: dist.broadcast_object_list(objects, src=0))
        return objects[0]  # type: ignore[no-any-return]

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over all processes, in place; sent as one message, so all have one dtype and device."""
        if self.size == 1 or not tensors:
            return
        self.catch_up()
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        run_collective(lambda: dist.all_reduce(flat))
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def total(self, number: float) -> float:
        """Sum a number over all processes."""
        if self.size == 1:
            return number
        sum_1 = torch.tensor([number], dtype=torch.float64)
        self.all_reduce([sum_1])
        return sum_1.item()

    def combine_rows(self, values: Tensor, *, own: Sequence[int], all_rows: Sequence[int]) -> Tensor:
        """Return `values` `[B, ...]` with the rows that other processes computed.

        `own` rows were computed here, `all_rows` by exactly one process each; all other rows are equal everywhere and
        unchanged.
        """
        if self.size == 1 or not all_rows:
            return values
        rows = torch.tensor(all_rows, device=values.device)
        own_B = torch.zeros(len(values), dtype=torch.bool, device=values.device)
        own_B[list(own)] = True
        computed = values[rows].to(torch.uint8) if values.dtype == torch.bool else values[rows]
        computed[~own_B[rows]] = 0
        self.all_reduce([computed])
        return values.index_copy(0, rows, computed.to(values.dtype))

    def combine(self, instance: T, *, own: Sequence[int], all_rows: Sequence[int]) -> T:
        """Apply `combine_rows` to every tensor of a dataclass, nested dataclasses included."""
        if self.size == 1 or not is_dataclass(instance) or isinstance(instance, type):
            return instance
        combined: dict[str, Any] = {}
        for field in fields(instance):
            value = getattr(instance, field.name)
            if isinstance(value, Tensor):
                combined[field.name] = self.combine_rows(value, own=own, all_rows=all_rows)
            elif is_dataclass(value):
                combined[field.name] = self.combine(value, own=own, all_rows=all_rows)
        return replace(instance, **combined)


def run_collective(collective: Callable[[], object]) -> None:
    """Run a torch collective. ProcessLost when another process has exited."""
    try:
        collective()
    except torch.OutOfMemoryError:  # a RuntimeError too, and this process' own
        raise
    except (RuntimeError, ConnectionError) as error:
        raise ProcessLost("another process of the run has ended") from error


def leave_process_group() -> None:
    """Leave the process group, even if peers have already exited."""
    if dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()
