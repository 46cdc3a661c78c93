"""What a task of the benchmark consists of: rows, a verifier, a sign of leakage, a budget, and its model's lessons."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from examples.starter.pretrain import Lesson, Size
from worker.engine.types import Task

HELD_OUT_FROM = 1_000_000
"""Rows from this number on are held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one run may use, the same for every method."""

    steps: int
    batch_size: int
    num_generations: int
    max_prompt_tokens: int
    max_completion_tokens: int
    eval_interval: int
    eval_samples: int
    lora_r: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Schooling:
    """How the task's model comes to be."""

    size: Size
    lessons: Callable[[random.Random], Iterator[list[Lesson]]]
    """Endless steps of two batches, plain and hinted."""
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    start: Path | None
    """A model to go on from; None: from scratch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningTask:
    """A question form with its rows."""

    name: str
    about: str
    """One or two sentences for the report."""
    train: Sequence[Task]
    held_out: Sequence[Task]
    grade: Callable[[str, Task], float]
    """The reward of a completion, 0 or 1."""
    leaks: Callable[[str], bool]
    """Whether a completion writes what the student cannot know, or speaks of a reference that it cannot see."""
    learning_rates: tuple[float, float, float, float]
    """GRPO tries them all; every other method has GRPO's best."""
    target: float
    """The fixed accuracy that runs are to reach."""
    budget: Budget
    schooling: Schooling | None
    """None: `model` stands in the repository."""
    model: Path
    only: tuple[str, ...] = ()
    """Keys of the configurations that run without being asked for; none named: all that are no extras."""


def engine_task(*, row: int, question: str, answer: str, solution: str, item: dict[str, object] | None = None) -> Task:
    """A row as the engine takes it."""
    return Task(
        row=row,
        messages=({"role": "user", "content": question},),
        answer=answer,
        solution=solution,
        trajectory=None,
        privileged=None,
        item=item if item is not None else {"answer": answer},
    )
