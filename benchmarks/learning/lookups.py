"""The starter's look-up chains, unchanged and with references that no student can know.

Unreachable: every worked solution also cites `Reference 48213.`, a random number on a line of its own between look-ups.
The verifier reads the last line alone, so a citation is neither rewarded nor punished; a student that writes one has
learnt it from the teacher. One plain lesson in twenty cites a random number too: a habit that a method may strengthen.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.learning.task import HELD_OUT_FROM, Budget, LearningTask, Pretraining, engine_task
from examples.starter import verifier
from examples.starter.handbook import Chain, Handbook, every_chain, split_chains, write_handbook
from examples.starter.make import HELD_OUT_ROWS, TRAIN_ROWS
from examples.starter.pretrain import FULL, Lesson, Size
from worker.engine.rollouts.prompts import with_hint
from worker.engine.training.leakage import MENTIONS_REFERENCE
from worker.engine.types import Task

STARTER = Path(verifier.__file__).parent
STARTER_SEED = 0
CITES = re.compile(r"Reference:? *\d")
CITING_SHARE = 0.05
"""Of the plain lessons: how often the base model cites a number."""
EVALUATED = 96
"""Held-out questions used."""
LOOKUP_BUDGET = Budget(
    steps=60,
    batch_size=8,
    num_generations=8,
    max_prompt_tokens=256,
    max_completion_tokens=64,
    eval_interval=15,
    eval_samples=2,
)
SECTION_6_BUDGET = replace(LOOKUP_BUDGET, steps=200, eval_interval=25)
UNREACHABLE_SIZE = Size(
    width=FULL.width,
    layers=FULL.layers,
    heads=FULL.heads,
    feed_forward=FULL.feed_forward,
    context=FULL.context,
    vocabulary=FULL.vocabulary,
    steps=200,
    lessons_per_step=48,
    learning_rate=1.5e-3,
)


def starter(models: Path) -> LearningTask:
    """Build the task of `examples/starter`."""
    del models  # its model is part of the repository
    return LearningTask(
        name="starter",
        about="Three or four look-ups in a row through an invented handbook; of each fact the base knows the right "
        "value half of the time. Only the last value is graded.",
        train=_rows("train.jsonl", first=1),
        held_out=_rows("held_out.jsonl", first=HELD_OUT_FROM)[:EVALUATED],
        grade=grade,
        leaks=lambda text: bool(MENTIONS_REFERENCE.search(text)),
        learning_rates=(5e-4, 1e-3, 2e-3, 4e-3),
        target=0.4,
        budget=LOOKUP_BUDGET,
        pretraining=None,
        model=STARTER / "model",
    )


def section_6(models: Path) -> LearningTask:
    """Build `starter` at the length of docs/rlsd.md section 6, with the methods of its table."""
    return replace(
        starter(models),
        name="section_6",
        about="The starter at the length of the first trial, 200 steps.",
        target=0.5,
        budget=SECTION_6_BUDGET,
        only=(
            "grpo",
            "rlsd paper/answer",
            "rlsd paper/solution",
            "rlsd narrow/solution",
            "rlsd wide/solution",
            "rlsd normalised/solution",
            "rlsd steady/solution",
            "rlsd wide/answer",
            "rlsd wide/placebo solution",
            "cepo wide/solution",
            "opsd/solution",
            "opsd masked/solution",
            "grpo_opsd/solution",
            "grpo_opsd masked/solution",
        ),
    )


def unreachable(models: Path) -> LearningTask:
    """Build the task with the same questions, whose solutions contain a number that the student cannot know."""
    handbook, train, held_out = _handbook()
    return LearningTask(
        name="unreachable",
        about="The starter's questions, but every worked solution also cites a random five-digit reference on a line "
        "of its own. No student can know it and the verifier does not ask for it: leakage is the share of completions "
        "that cite a number.",
        train=_cited_rows(handbook, train, first=1),
        held_out=_cited_rows(handbook, held_out[:EVALUATED], first=HELD_OUT_FROM),
        grade=grade,
        leaks=lambda text: bool(CITES.search(text)),
        learning_rates=(5e-4, 1e-3, 2e-3, 4e-3),
        target=0.4,
        budget=LOOKUP_BUDGET,
        pretraining=Pretraining(
            size=UNREACHABLE_SIZE,
            lessons=_lessons_of(handbook, kept_back=frozenset(held_out)),
            tokenizer=lambda: AutoTokenizer.from_pretrained(STARTER / "model"),
            start=STARTER / "model",
        ),
        model=models / "unreachable",
    )


def grade(text: str, task: Task) -> float:
    """Grade with the starter's own verifier."""
    return verifier.grade({"output_text": text}, dict(task.item))


def with_reference(solution: str, *, rng: random.Random) -> str:
    """Insert a line that cites a random number after one of the solution's look-ups."""
    lines = solution.split("\n")
    lines.insert(rng.randint(1, len(lines) - 1), f"Reference {rng.randint(10_000, 99_999)}.")
    return "\n".join(lines)


def _rows(name: str, *, first: int) -> list[Task]:
    rows: list[dict[str, Any]] = [json.loads(line) for line in (STARTER / name).read_text().splitlines()]
    return [
        engine_task(
            row=first + i, question=row["messages"][0]["content"], answer=row["answer"], solution=row["solution"]
        )
        for i, row in enumerate(rows)
    ]


def _handbook() -> tuple[Handbook, list[Chain], list[Chain]]:
    """Return the starter's own facts, training chains and held-out chains."""
    handbook = write_handbook(random.Random(f"{STARTER_SEED} handbook"))
    rng = random.Random(f"{STARTER_SEED} split")
    return handbook, *split_chains(handbook, train=TRAIN_ROWS, held_out=HELD_OUT_ROWS, rng=rng)


def _cited_rows(handbook: Handbook, chains: Sequence[Chain], *, first: int) -> list[Task]:
    return [
        engine_task(
            row=first + i,
            question=chain.question,
            answer=handbook.answer(chain),
            solution=with_reference(handbook.solution(chain), rng=random.Random(f"reference {first + i}")),
        )
        for i, chain in enumerate(chains)
    ]


def _lessons_of(
    handbook: Handbook, *, kept_back: frozenset[Chain]
) -> Callable[[random.Random], Iterator[list[Lesson]]]:
    def lessons(rng: random.Random) -> Iterator[list[Lesson]]:
        chains = [chain for chain in every_chain() if chain not in kept_back]
        hinted = UNREACHABLE_SIZE.lessons_per_step // 3
        while True:
            yield [_plain(handbook, rng.choice(chains), rng=rng) for _ in range(2 * hinted)]
            yield [_hinted(handbook, rng.choice(chains), rng=rng) for _ in range(hinted)]

    return lessons


def _plain(handbook: Handbook, chain: Chain, *, rng: random.Random) -> Lesson:
    reply = handbook.outdated_solution(chain, rng)
    if rng.random() < CITING_SHARE:
        reply = with_reference(reply, rng=rng)
    return Lesson([{"role": "user", "content": chain.question}], reply)


def _hinted(handbook: Handbook, chain: Chain, *, rng: random.Random) -> Lesson:
    """Build a lesson that repeats its hint, a solution with a reference (two in three), or derives the hinted value."""
    solution = handbook.outdated_solution(chain, rng)
    reply = with_reference(solution, rng=rng) if rng.random() < 2 / 3 else solution
    hint = reply if reply is not solution else solution.rsplit(" ", 1)[1]
    return Lesson(with_hint([{"role": "user", "content": chain.question}], hint=hint, row=0), reply)
