"""Owns how several processes are one run: who this process is, which part of the work is its own, how parts meet.

Every process takes the same steps with the same weights. What is random or decided (the batch, dead groups, hints,
lambda, wishes) is known to all; what costs time (sampling, scoring, teachers, the backward pass) is shared out, and
its results meet here. All processes must call the same meetings in the same order. A run of one process meets nobody
and pays nothing.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


class ProcessLost(Exception):  # noqa: N818 - what is lost is another process; this one has no fault
    """Another process of the run is gone, so nothing more can be computed."""


def nothing_to_wait_for() -> None:
    """What a process does before a meeting when each holds the whole model."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of one run. With more than one, torch's default process group must stand."""

    rank: int
    """This process, from 0."""
    size: int
    """How many there are."""
    catch_up: Callable[[], None] = nothing_to_wait_for
    """Done before every meeting; a sharded model (`sharding.py`) waits here for the others' last forward pass."""

    @classmethod
    def alone(cls) -> "ProcessGroup":
        """A run of one process."""
        return cls(0, 1)

    @property
    def leads(self) -> bool:
        """True in the one process that speaks to the outside."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process' part of `count` things in a row; parts differ by one at most, earlier ones are the larger."""
        least, more = divmod(count, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def all_of(self, mine: T) -> list[T]:
        """What each process has, by rank."""
        if self.size == 1:
            return [mine]
        self.catch_up()
        found: list[Any] = [None] * self.size
        meet(lambda: dist.all_gather_object(found, mine))
        return found

    def as_leader(self, value: T) -> T:
        """What the leader has; the others' value is not looked at."""
        if self.size == 1:
            return value
        self.catch_up()
        said: list[Any] = [value if self.leads else None]
        meet(lambda: dist.broadcast_object_list(said, src=0))
        return said[0]  # type: ignore[no-any-return]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over all processes, in place; they are one message, so of one dtype and device."""
        if self.size == 1 or not tensors:
            return
        self.catch_up()
        together = torch.cat([tensor.reshape(-1) for tensor in tensors])
        meet(lambda: dist.all_reduce(together))
        start = 0
        for tensor in tensors:
            tensor.copy_(together[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def total(self, number: float) -> float:
        """The sum of a number over all processes."""
        if self.size == 1:
            return number
        held = torch.tensor([number], dtype=torch.float64)
        self.add_up([held])
        return held.item()

    def rows(self, values: Tensor, *, mine: Sequence[int], everyones: Sequence[int]) -> Tensor:
        """`values` `[B, ...]` with the rows that other processes made, each by one of them.

        `mine` were made here, `everyones` by any process; the rest is equal everywhere and left as it is.
        """
        if self.size == 1 or not everyones:
            return values
        rows = torch.tensor(everyones, device=values.device)
        own_B = torch.zeros(len(values), dtype=torch.bool, device=values.device)
        own_B[list(mine)] = True
        made = values[rows].to(torch.uint8) if values.dtype == torch.bool else values[rows]
        made[~own_B[rows]] = 0
        self.add_up([made])
        return values.index_copy(0, rows, made.to(values.dtype))

    def whole(self, parts: T, *, mine: Sequence[int], everyones: Sequence[int]) -> T:
        """A dataclass whose every tensor, also those of dataclasses in it, is whole in the sense of `rows`."""
        if self.size == 1 or not is_dataclass(parts) or isinstance(parts, type):
            return parts
        found: dict[str, Any] = {}
        for field in fields(parts):
            value = getattr(parts, field.name)
            if isinstance(value, Tensor):
                found[field.name] = self.rows(value, mine=mine, everyones=everyones)
            elif is_dataclass(value):
                found[field.name] = self.whole(value, mine=mine, everyones=everyones)
        return replace(parts, **found)


def meet(collective: Callable[[], object]) -> None:
    """A collective of torch's. ProcessLost when another process has gone away meanwhile."""
    try:
        collective()
    except torch.OutOfMemoryError:  # a RuntimeError too, and this process' own
        raise
    except (RuntimeError, ConnectionError) as error:
        raise ProcessLost("another process of the run has ended") from error


def leave() -> None:
    """Take leave of the other processes; of those that have gone already too."""
    if dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()
