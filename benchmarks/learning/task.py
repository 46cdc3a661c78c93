"""A task of the benchmark: rows, a verifier, a leakage test, a budget, and the pretraining of its model."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from examples.starter.pretrain import Lesson, Size
from worker.engine.types import Task

HELD_OUT_FROM = 1_000_000
"""Rows with this number or higher are held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The budget of one run, the same for every method."""

    steps: int
    batch_size: int
    num_generations: int
    max_prompt_tokens: int
    max_completion_tokens: int
    eval_interval: int
    eval_samples: int
    lora_r: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """How the task's model is pretrained."""

    size: Size
    lessons: Callable[[random.Random], Iterator[list[Lesson]]]
    """Endless steps of two batches, plain and hinted."""
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    start: Path | None
    """The model to start from; None: from scratch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningTask:
    """A task with its rows, model and budget."""

    name: str
    about: str
    """One or two sentences for the report."""
    train: Sequence[Task]
    held_out: Sequence[Task]
    grade: Callable[[str, Task], float]
    """The reward of a completion, 0 or 1."""
    leaks: Callable[[str], bool]
    """Whether a completion contains what the student cannot know, or mentions a reference that it cannot see."""
    learning_rates: tuple[float, float, float, float]
    """GRPO is run at each; every other method at GRPO's best."""
    target: float
    """The accuracy for counting the steps to reach it."""
    budget: Budget
    pretraining: Pretraining | None
    """None: `model` is part of the repository."""
    model: Path
    only: tuple[str, ...] = ()
    """Keys of the configurations that run by default; empty: all but the extras."""


def engine_task(*, row: int, question: str, answer: str, solution: str, item: dict[str, object] | None = None) -> Task:
    """Build a row in the engine's form."""
    return Task(
        row=row,
        messages=({"role": "user", "content": question},),
        answer=answer,
        solution=solution,
        trajectory=None,
        privileged=None,
        item=item if item is not None else {"answer": answer},
    )
