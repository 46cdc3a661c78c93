"""Two tasks of reasoning-gym with worked steps: sums (arithmetic) and counting letters (an algorithm on text).

Questions and grading are reasoning-gym's own; the worked steps are generated here. The models are pretrained on worked
steps with systematic mistakes, so that they are partly right and know the right steps too.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from transformers import PreTrainedTokenizerFast

from benchmarks.learning.task import HELD_OUT_FROM, Budget, LearningTask, Pretraining, engine_task
from examples.starter.pretrain import Lesson, Size
from examples.starter.tokenizer import train_tokenizer
from worker.engine.rollouts.prompts import HINT_BLOCK, with_hint
from worker.engine.training.leakage import MENTIONS_REFERENCE
from worker.engine.types import Task

Row: TypeAlias = dict[str, Any]
"""A row of reasoning-gym: `question`, `answer`, `metadata`."""
Worked: TypeAlias = Callable[[Row, random.Random | None], str]
"""The worked steps of a row: right without a generator, otherwise with mistakes drawn from it."""

TRAIN_ROWS: Final = 400
EVALUATED: Final = 96
POOL: Final = 8_000
"""Rows generated; the distinct ones are used for pretraining."""
SUM_SLIP: Final = 0.3
"""Probability that a partial sum is taken from the wrong table."""
COUNT_SLIP: Final = 0.4
"""Probability that a letter is overlooked."""
BYTES: Final = 259
"""All bytes and three special tokens: a vocabulary without merges."""


def sums(models: Path) -> LearningTask:
    """Build `chain_sum`: four or five one-digit numbers."""
    return _task(
        name="chain_sum",
        about=f"reasoning-gym's chain_sum, four or five one-digit numbers with written partial sums. For each sign "
        f"and number the base also knows a wrong way to add it and takes that {SUM_SLIP:.0%} of the time.",
        dataset={"name": "chain_sum", "min_terms": 4, "max_terms": 5, "min_digits": 1, "max_digits": 1},
        fits=lambda row: True,
        worked=worked_sum,
        phrases=("State the final answer to the following arithmetic problem: ",),
        models=models,
        steps=60,
        completion_tokens=48,
        learning_rates=(5e-4, 1e-3, 2e-3, 4e-3),
        target=0.5,
    )


def letters(models: Path) -> LearningTask:
    """Build `letter_counting`: one to three words."""
    return _task(
        name="letter_counting",
        about=f"reasoning-gym's letter_counting on one to three words: the text is copied, each occurrence followed by "
        f"the count so far. The base overlooks {COUNT_SLIP:.0%} of the occurrences.",
        dataset={"name": "letter_counting", "min_words": 1, "max_words": 3},
        fits=_is_countable,
        worked=worked_count,
        phrases=('How many times does the letter "', '" appear in the text: "', '"?'),
        models=models,
        steps=30,
        completion_tokens=40,
        learning_rates=(2.5e-4, 5e-4, 1e-3, 2e-3),
        target=0.8,
    )


def worked_sum(row: Row, slips: random.Random | None) -> str:
    """Write a line such as `4-1=3` for each partial sum, and the answer."""
    first, *rest = re.findall(r"[+-]?\d+", row["metadata"]["expression"].replace(" ", ""))
    total, lines = int(first), []
    for term in rest:
        new = total + int(term)
        if slips is not None and slips.random() < SUM_SLIP:
            new += _wrong_table()[term]
        lines.append(f"{total}{term}={new}")
        total = new
    return "\n".join([*lines, f"Answer: {total}"])


@cache
def _wrong_table() -> dict[str, int]:
    """Return the error of the wrong result, by sign and number added: always the same."""
    rng = random.Random("wrong table")
    return {f"{sign}{number}": rng.choice([-2, -1, 1, 2]) for sign in "+-" for number in range(10)}


def worked_count(row: Row, slips: random.Random | None) -> str:
    """Write the text with the count after each occurrence, such as `h1undred th2ousand`, and the answer."""
    letter, text = row["metadata"]["target_letter"], " ".join(row["metadata"]["span"])
    count, written = 0, []
    for character in text:
        written.append(character)
        if character == letter and not (slips is not None and slips.random() < COUNT_SLIP):
            count += 1
            written.append(str(count))
    return f"{''.join(written)}\nAnswer: {count}"


def _is_countable(row: Row) -> bool:
    """Whether the text is short, lower-case, and contains the letter at least twice."""
    text = " ".join(row["metadata"]["span"])
    return re.fullmatch(r"[a-z ]{6,18}", text) is not None and int(row["answer"]) >= 2


def stated_answer(text: str) -> str | None:
    """Return the text after `Answer:` on the last line."""
    found = re.fullmatch(r"Answer: *(.*?)", text.rstrip().split("\n")[-1])
    return found.group(1).strip() if found else None


def lessons_of(rows: Sequence[Row], *, worked: Worked, count: int) -> Callable[[random.Random], Iterator[list[Lesson]]]:
    """Yield two batches per step, endlessly: plain lessons, then half as many hinted ones; `count` in total."""

    def lesson(rng: random.Random, *, hinted: bool) -> Lesson:
        row = rng.choice(rows)
        reply = worked(row, rng)
        question = [{"role": "user", "content": row["question"]}]
        if not hinted:
            return Lesson(question, reply)
        hint = reply if rng.random() < 2 / 3 else str(stated_answer(reply))
        return Lesson(with_hint(question, hint=hint, row=0), reply)

    def lessons(rng: random.Random) -> Iterator[list[Lesson]]:
        while True:
            yield [lesson(rng, hinted=False) for _ in range(count - count // 3)]
            yield [lesson(rng, hinted=True) for _ in range(count // 3)]

    return lessons


def character_tokenizer(phrases: Sequence[str], *, context: int) -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token per byte, and one for each phrase that is in every prompt."""
    tokenizer = train_tokenizer([], vocabulary=BYTES, context=context)
    tokenizer.add_tokens([*phrases, HINT_BLOCK.format(hint=""), "user\n", "assistant\n", "Answer: "])
    return tokenizer


def _task(
    *,
    name: str,
    about: str,
    dataset: dict[str, Any],
    fits: Callable[[Row], bool],
    worked: Worked,
    phrases: Sequence[str],
    models: Path,
    steps: int,
    completion_tokens: int,
    learning_rates: tuple[float, float, float, float],
    target: float,
) -> LearningTask:
    rows = rows_of(dataset, fits=fits)
    held_out, train, taught = rows[:EVALUATED], rows[EVALUATED : EVALUATED + TRAIN_ROWS], rows[EVALUATED:]
    import reasoning_gym  # here, since it takes seconds and other tasks do without

    score = reasoning_gym.get_score_answer_fn(name)
    size = Size(
        width=96,
        layers=3,
        heads=4,
        feed_forward=288,
        context=256,
        vocabulary=BYTES,
        steps=700,
        lessons_per_step=72,
        learning_rate=4e-3,
    )

    def grade(text: str, task: Task) -> float:
        """Return 1.0 for a full score of reasoning-gym, which gives partial scores for answers within other text."""
        stated = stated_answer(text)
        return float(stated is not None and score(stated, dict(task.item)) == 1.0)

    return LearningTask(
        name=name,
        about=about,
        train=[_engine_task(row, number=1 + i, worked=worked) for i, row in enumerate(train)],
        held_out=[_engine_task(row, number=HELD_OUT_FROM + i, worked=worked) for i, row in enumerate(held_out)],
        grade=grade,
        leaks=lambda text: bool(MENTIONS_REFERENCE.search(text)),
        learning_rates=learning_rates,
        target=target,
        budget=Budget(
            steps=steps,
            batch_size=8,
            num_generations=8,
            max_prompt_tokens=128,
            max_completion_tokens=completion_tokens,
            eval_interval=steps // 6,
            eval_samples=2,
        ),
        pretraining=Pretraining(
            size=size,
            lessons=lessons_of(taught, worked=worked, count=size.lessons_per_step),
            tokenizer=lambda: character_tokenizer(phrases, context=size.context),
            start=None,
        ),
        model=models / name,
    )


def rows_of(dataset: dict[str, Any], *, fits: Callable[[Row], bool]) -> list[Row]:
    """Return the distinct questions that fit, always the same."""
    import reasoning_gym

    found: dict[str, Row] = {}
    for row in reasoning_gym.create_dataset(**dataset, size=POOL, seed=0):
        if fits(row):
            found.setdefault(row["question"], row)
    return list(found.values())


def _engine_task(row: Row, *, number: int, worked: Worked) -> Task:
    return engine_task(row=number, question=row["question"], answer=row["answer"], solution=worked(row, None), item=row)
