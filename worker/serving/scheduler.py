"""Decides which requests a server admits next, and which model it unloads for them. Pure.

Several servers may poll the same queue. A server admits requests for its loaded models at once, and those for other
models only after a short grace period, so that a server which has the model loaded goes first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.chat.server_queue import QueuedRequest

REMOTE_GRACE_S = 0.3
"""Time in which a server that has the model loaded may take a request."""
STARVATION_S = 10.0
"""A request that has waited longer is admitted before later requests for loaded models."""


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """The load of one model in memory."""

    requests: int
    """Admitted and unfinished."""
    idle_s: float
    """Seconds since its last use."""


@dataclass(frozen=True, slots=True)
class SchedulerPlan:
    """Actions to take now, in this order."""

    unload: str | None = None
    """The model to unload first."""
    admit: tuple[QueuedRequest, ...] = ()


def plan(
    waiting: Sequence[QueuedRequest], *, loaded: Mapping[str, ModelLoad], max_models: int, max_requests: int
) -> SchedulerPlan:
    """Plan for `waiting`, oldest first, with at most `max_requests` admitted per model."""
    unloaded = [request for request in waiting if request.base not in loaded and request.age_s >= REMOTE_GRACE_S]
    idle = sorted((base for base, load in loaded.items() if load.requests == 0), key=lambda base: -loaded[base].idle_s)
    wanted = {request.base for request in waiting}
    evicted: str | None = None
    if unloaded and len(loaded) >= max_models:
        starving = unloaded[0].age_s >= STARVATION_S
        free = [base for base in idle if starving or base not in wanted]
        if not free:
            # Admit nothing for the model to be unloaded, so that it drains.
            draining = max(loaded, key=lambda base: (-loaded[base].requests, base)) if starving else None
            return SchedulerPlan(None, _admitted(waiting, loaded=loaded, limit=max_requests, excluded=draining))
        evicted = free[0]
    incoming = {unloaded[0].base: ModelLoad(0, 0.0)} if unloaded else {}
    remaining = {base: load for base, load in loaded.items() if base != evicted}
    return SchedulerPlan(
        evicted, _admitted(waiting, loaded={**remaining, **incoming}, limit=max_requests, excluded=None)
    )


def _admitted(
    waiting: Sequence[QueuedRequest], *, loaded: Mapping[str, ModelLoad], limit: int, excluded: str | None
) -> tuple[QueuedRequest, ...]:
    capacity = {base: limit - load.requests for base, load in loaded.items() if base != excluded}
    admitted = []
    for request in waiting:
        if capacity.get(request.base, 0) > 0:
            capacity[request.base] -= 1
            admitted.append(request)
    return tuple(admitted)
