"""The tasks by name."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from benchmarks.learning import gym, lookups
from benchmarks.learning.models import CACHE
from benchmarks.learning.task import LearningTask

TASKS: dict[str, Callable[[Path], LearningTask]] = {
    "starter": lookups.starter,
    "unreachable": lookups.unreachable,
    "chain_sum": gym.sums,
    "letter_counting": gym.letters,
    "section_6": lookups.section_6,
}
COMPARISON = ("starter", "unreachable", "chain_sum", "letter_counting")
"""Run by default."""


@cache
def task_named(name: str) -> LearningTask:
    """Return the task; its model may not exist yet."""
    return TASKS[name](CACHE)
