"""Inside: names of ms-swift that its reward plugins import, so that such a file runs as it is.

backend/verifiers/libraries.py lists them. They hold nothing of ms-swift but the shape that a plugin relies on.
"""

import logging
import sys
from types import ModuleType
from typing import Any

from backend.verifiers.libraries import STAND_INS

ROOT = "swift"


class ORM:
    """The base of a reward: `__call__(completions, **columns)` returns a score for each."""

    def __init__(self, args: Any = None, **kwargs: Any) -> None:
        self.args = args

    def __call__(self, **kwargs: Any) -> list[float]:
        raise NotImplementedError


class AsyncORM(ORM):
    """The base of a reward whose `__call__` is a coroutine."""


def install() -> None:
    """Make the modules importable, with nothing registered in them."""
    values = {"ORM": ORM, "AsyncORM": AsyncORM, "orms": {}, "rm_plugins": {}, "get_logger": logging.getLogger}
    for path, names in STAND_INS.items():
        module = ModuleType(path)
        vars(module).update({name: values[name] for name in names})
        sys.modules[path] = module
        parent, _, name = path.rpartition(".")
        if parent:
            setattr(sys.modules[parent], name, module)
