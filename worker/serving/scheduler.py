"""Which requests a server takes next, and which model it lets go for them. Pure.

Several servers may look at the same line. What is for a model that a server holds, it takes at once. What is for
another model it takes only when that has waited a little, so that a server that holds the model comes first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.chat.server_queue import QueuedRequest

PATIENCE_S = 0.3
"""How long another server may take to fetch what is for its model."""
STARVING_S = 10.0
"""A request that has waited longer for a place is let in before later ones of models that are held."""


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """A model that is held."""

    requests: int
    """Taken and not ended."""
    idle_s: float
    """Since it was used last."""


@dataclass(frozen=True, slots=True)
class SchedulerPlan:
    """What to do now, in this order."""

    let_go: str | None = None
    """The model that makes room."""
    take: tuple[QueuedRequest, ...] = ()


def plan(
    waiting: Sequence[QueuedRequest], *, held: Mapping[str, ModelLoad], most_models: int, most_requests: int
) -> SchedulerPlan:
    """`waiting` in the order in which they came; at most `most_requests` for one model are taken at a time."""
    strangers = [request for request in waiting if request.base not in held and request.age_s >= PATIENCE_S]
    idle = sorted((base for base, load in held.items() if load.requests == 0), key=lambda base: -held[base].idle_s)
    wanted = {request.base for request in waiting}
    leaving: str | None = None
    if strangers and len(held) >= most_models:
        starving = strangers[0].age_s >= STARVING_S
        free = [base for base in idle if starving or base not in wanted]
        if not free:
            # Nobody joins the model that is to go, so that it becomes free.
            going = max(held, key=lambda base: (-held[base].requests, base)) if starving else None
            return SchedulerPlan(None, _taken(waiting, held=held, most=most_requests, besides=going))
        leaving = free[0]
    newcomer = {strangers[0].base: ModelLoad(0, 0.0)} if strangers else {}
    staying = {base: load for base, load in held.items() if base != leaving}
    return SchedulerPlan(leaving, _taken(waiting, held={**staying, **newcomer}, most=most_requests, besides=None))


def _taken(
    waiting: Sequence[QueuedRequest], *, held: Mapping[str, ModelLoad], most: int, besides: str | None
) -> tuple[QueuedRequest, ...]:
    room = {base: most - load.requests for base, load in held.items() if base != besides}
    taken = []
    for request in waiting:
        if room.get(request.base, 0) > 0:
            room[request.base] -= 1
            taken.append(request)
    return tuple(taken)
