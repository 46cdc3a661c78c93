"""Credit methods, one file each. To add one, write its file and register it here."""

from worker.engine.methods import cepo, grpo, grpo_opsd, opd, opsd, rlcsd, rlsd, rlsd_template, sdpo
from worker.engine.methods.base import Method

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD for module in (grpo, rlsd, rlsd_template, cepo, rlcsd, opsd, grpo_opsd, sdpo, opd)
}


def method_named(name: str) -> Method:
    """Return the registered method. ValueError listing the available ones."""
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    return METHODS[name]
