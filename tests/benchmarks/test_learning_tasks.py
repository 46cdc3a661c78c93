"""The tasks of the learning benchmark: the same each time, solvable, no held-out question among the lessons."""

import random
import re

import pytest

from benchmarks.learning import gym
from benchmarks.learning.lookups import CITES, with_reference
from benchmarks.learning.models import CACHE
from benchmarks.learning.task import HELD_OUT_FROM
from benchmarks.learning.tasks import TASKS, task_named
from tests.reasoning_gym import needs_reasoning_gym
from worker.engine.rollouts.prompts import HINT_BLOCK

FROM_REASONING_GYM = ("chain_sum", "letter_counting")


def tasks(*names: str) -> pytest.MarkDecorator:
    marked = [pytest.param(name, marks=needs_reasoning_gym if name in FROM_REASONING_GYM else ()) for name in names]
    return pytest.mark.parametrize("name", marked)


@tasks(*TASKS)
def test_a_task_is_the_same_each_time(name):
    assert TASKS[name](CACHE).train == task_named(name).train
    assert TASKS[name](CACHE).held_out == task_named(name).held_out


@tasks(*TASKS)
def test_every_solution_earns_the_reward_and_rows_are_apart(name):
    task = task_named(name)
    rows = [*task.train, *task.held_out]
    assert all(task.grade(str(row.solution), row) == 1.0 for row in rows)
    assert len({row.row for row in rows}) == len(rows)
    assert all(row.row >= HELD_OUT_FROM for row in task.held_out)
    assert all(row.row < HELD_OUT_FROM for row in task.train)
    questions = [row.messages[0]["content"] for row in rows]
    assert len(set(questions)) == len(questions)


@tasks("unreachable", *FROM_REASONING_GYM)
def test_no_lesson_asks_a_held_out_question_and_a_third_of_them_holds_a_hint(name):
    task = task_named(name)
    steps = task.pretraining.lessons(random.Random(1))
    batches = [next(steps) for _ in range(20)]
    contents = [lesson.messages[-1]["content"] for batch in batches for lesson in batch]
    marker = HINT_BLOCK.format(hint="")
    held_out = {row.messages[0]["content"] for row in task.held_out}
    assert held_out.isdisjoint(content.split(marker)[0] for content in contents)
    assert sum(marker in content for content in contents) / len(contents) == pytest.approx(1 / 3, abs=0.01)


def test_worked_sums_slip_only_when_they_are_to():
    row = {"answer": "3", "metadata": {"expression": "4 - 1 - 7 + 7"}}
    assert gym.worked_sum(row, None) == "4-1=3\n3-7=-4\n-4+7=3\nAnswer: 3"
    texts = [gym.worked_sum(row, random.Random(seed)) for seed in range(400)]
    right = sum(gym.stated_answer(text) == "3" for text in texts) / len(texts)
    assert 0.25 < right < 0.55  # three chances of a slip, of which two may undo each other


def test_worked_counts_mark_every_occurrence_unless_they_slip():
    row = {"answer": "2", "metadata": {"target_letter": "h", "span": ["hundred", "thousand"]}}
    assert gym.worked_count(row, None) == "h1undred th2ousand\nAnswer: 2"
    texts = [gym.worked_count(row, random.Random(seed)) for seed in range(400)]
    right = sum(gym.stated_answer(text) == "2" for text in texts) / len(texts)
    assert right == pytest.approx((1 - gym.COUNT_SLIP) ** 2, abs=0.08)


def test_the_characters_of_a_completion_are_tokens_of_their_own():
    tokenizer = gym.character_tokenizer(["How many? "], context=64)
    ids = tokenizer.encode("How many? th2o\nAnswer: 1", add_special_tokens=False)
    assert [tokenizer.decode([token]) for token in ids] == ["How many? ", "t", "h", "2", "o", "\n", "Answer: ", "1"]
    assert tokenizer.decode(ids) == "How many? th2o\nAnswer: 1"


def test_a_reference_stands_on_a_line_of_its_own_before_the_answer():
    places = set()
    for seed in range(50):
        lines = with_reference("one\ntwo\nAnswer: x", rng=random.Random(seed)).split("\n")
        (place,) = (i for i, line in enumerate(lines) if re.fullmatch(r"Reference \d{5}\.", line))
        assert lines[-1] == "Answer: x"
        places.add(place)
    assert places == {1, 2}


def test_a_citation_is_told_from_other_text():
    assert CITES.search("a\nReference 12345.\nb")
    assert not CITES.search("The category of 12345 is a reference.")
