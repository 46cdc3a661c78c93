"""Cache of analyses, so that polling a comparison does not recompute them."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from backend.comparisons.analysis import Analysis


@dataclass(slots=True)
class AnalysisCache:
    """LRU cache of at most `max_size` analyses. Concurrent requests for a key compute it once."""

    max_size: int
    _futures: OrderedDict[Hashable, Future[Analysis]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: Hashable, compute: Callable[[], Analysis]) -> Analysis:
        """Return the cached analysis, or compute it. Concurrent callers wait for the same computation."""
        with self._lock:
            pending = self._futures.get(key)
            future = pending or Future()
            self._futures[key] = future
            self._futures.move_to_end(key)
            if len(self._futures) > self.max_size:
                self._futures.popitem(last=False)
        if pending is None:
            try:
                future.set_result(compute())
            except BaseException as error:
                with self._lock:
                    self._futures.pop(key, None)
                future.set_exception(error)
                raise
        return future.result()
