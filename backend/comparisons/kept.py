"""Analyses that this process has made, so that watching a comparison does not make them anew."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from backend.comparisons.analysis import Analysis


@dataclass(slots=True)
class KeptAnalyses:
    """The `most` newest ones, by what they were made of. However many ask at once, each is made once."""

    most: int
    _found: OrderedDict[Hashable, Future[Analysis]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, made_of: Hashable, make: Callable[[], Analysis]) -> Analysis:
        """What is kept, or what `make` gives. Who asks while it is being made waits for it."""
        with self._lock:
            asked_before = self._found.get(made_of)
            found = asked_before or Future()
            self._found[made_of] = found
            self._found.move_to_end(made_of)
            if len(self._found) > self.most:
                self._found.popitem(last=False)
        if asked_before is None:
            try:
                found.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._found.pop(made_of, None)
                found.set_exception(error)
                raise
        return found.result()


kept = KeptAnalyses(most=200)
"""Of this process."""
