"""Ways to give credit, a file each. To add one, write its file and name it here."""

from worker.engine.methods import grpo, rlsd
from worker.engine.methods.base import Method

METHODS: dict[str, Method] = {method.name: method for method in (grpo.METHOD, rlsd.METHOD)}


def method_named(name: str) -> Method:
    """The registered method; ValueError naming the ones there are."""
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    return METHODS[name]
