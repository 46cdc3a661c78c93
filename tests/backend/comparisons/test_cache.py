"""The cache of analyses: each is computed once, and the least recently used is evicted."""

import threading

import pytest

from backend.comparisons.analysis import Analysis
from backend.comparisons.cache import AnalysisCache


def analysis(verdict: str) -> Analysis:
    return Analysis(0, [], verdict)


def test_concurrent_callers_share_one_computation() -> None:
    cache, computed, may_finish = AnalysisCache(max_size=2), [], threading.Event()

    def slowly() -> Analysis:
        computed.append(1)
        assert may_finish.wait(10)
        return analysis("done")

    found: list[Analysis] = []
    watchers = [threading.Thread(target=lambda: found.append(cache.get("same", slowly))) for _ in range(5)]
    for watcher in watchers:
        watcher.start()
    may_finish.set()
    for watcher in watchers:
        watcher.join()
    assert (len(computed), [each.verdict for each in found]) == (1, ["done"] * 5)


def test_the_least_recently_used_analysis_is_evicted() -> None:
    cache = AnalysisCache(max_size=2)
    for name in ("a", "b", "a", "c"):
        cache.get(name, lambda name=name: analysis(name))  # type: ignore[misc]
    assert cache.get("a", lambda: analysis("new")).verdict == "a"
    assert cache.get("b", lambda: analysis("new")).verdict == "new"


def test_a_failed_computation_is_repeated() -> None:
    cache = AnalysisCache(max_size=2)

    def failing() -> Analysis:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get("a", failing)
    assert cache.get("a", lambda: analysis("done")).verdict == "done"
