"""Analyses are made once, whoever asks, and forgotten where there are too many."""

import threading

import pytest

from backend.comparisons.analysis import Analysis
from backend.comparisons.kept import KeptAnalyses


def analysis(verdict: str) -> Analysis:
    return Analysis(0, [], verdict)


def test_who_asks_while_it_is_being_made_waits_for_the_same_one() -> None:
    kept, made, may_go_on = KeptAnalyses(most=2), [], threading.Event()

    def slowly() -> Analysis:
        made.append(1)
        assert may_go_on.wait(10)
        return analysis("said")

    found: list[Analysis] = []
    watchers = [threading.Thread(target=lambda: found.append(kept.get("same", slowly))) for _ in range(5)]
    for watcher in watchers:
        watcher.start()
    may_go_on.set()
    for watcher in watchers:
        watcher.join()
    assert (len(made), [each.verdict for each in found]) == (1, ["said"] * 5)


def test_the_one_not_asked_for_longest_is_forgotten() -> None:
    kept = KeptAnalyses(most=2)
    for name in ("a", "b", "a", "c"):
        kept.get(name, lambda name=name: analysis(name))  # type: ignore[misc]
    assert kept.get("a", lambda: analysis("anew")).verdict == "a"
    assert kept.get("b", lambda: analysis("anew")).verdict == "anew"


def test_what_failed_is_tried_again() -> None:
    kept = KeptAnalyses(most=2)

    def failing() -> Analysis:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept.get("a", failing)
    assert kept.get("a", lambda: analysis("said")).verdict == "said"
