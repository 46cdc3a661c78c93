"""Rows shown as examples are neither trained nor measured on, nor are rows equal to them."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.settings.spec import RlsdSettings
from backend.datasets.rows.rows import Reference, read_rows
from backend.errors import AppError
from backend.jobs.examples import example_of, without_examples
from backend.verifiers.instructions import Example
from worker.training.prepare import tasks_of


def rows(*lines: dict[str, Any]) -> Any:
    return read_rows(io.BytesIO("\n".join(map(json.dumps, lines)).encode()))


@given(values=st.lists(st.integers(0, 5), min_size=4, max_size=12), data=st.data())
def test_no_task_has_the_question_of_an_example(values: list[int], data: Any) -> None:
    read = rows(*({"question": f"q{value}", "answer": "1"} for value in [*values, 90, 91, 92]))
    shown = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=3))
    spec = RlsdSettings(example_rows=tuple(shown), held_out_share=0.3)
    train, held_out = tasks_of(read, spec=spec, verifier=None, seed=0, validation=None)
    with_file = tasks_of(
        read, spec=spec, verifier=None, seed=0, validation=[*read, *rows({"question": "n", "answer": "1"})]
    )
    questions = {f"q{value}" for value in [*values, 90, 91, 92]} - {f"q{values[number]}" for number in shown}
    asked = [[str(task.messages[0]["content"]) for task in tasks] for tasks in (train, held_out, *with_file)]
    assert {*asked[0], *asked[1]} == questions
    assert set(asked[2]) == questions
    assert asked[3] == ["n"]


@pytest.mark.parametrize(
    ("shown", "message"), [((2,), "there is no row 2: the file has 2 rows"), ((0, 1), "none is left to train on")]
)
def test_examples_that_cannot_be_are_refused(shown: tuple[int, ...], message: str) -> None:
    two = rows({"question": "a", "answer": "1"}, {"question": "b", "answer": "1"})
    with pytest.raises(AppError, match=message) as refused:
        without_examples(two, shown)
    assert refused.value.param == "method.reinforcement.x_rlsd.example_rows"


@pytest.mark.parametrize(
    ("line", "example"),
    [
        ({"question": "a", "answer": "1"}, Example("a", "1", None)),
        ({"question": "a", "answer": "1", "solution": "so 1"}, Example("a", "1", "so 1")),
        ({"system": "Be brief.", "question": "a", "answer": "1"}, Example("a", "1", None)),
        ({"question": "a" * 600, "answer": "1"}, None),
        ({"question": "a", "answer": "1", "solution": "s" * 600}, None),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": "c"},
                ],
                "answer": "1",
            },
            None,
        ),
    ],
)
def test_short_rows_of_one_turn_with_an_answer_are_examples(line: dict[str, Any], example: Example | None) -> None:
    [row] = rows(line)
    assert example_of(row) == example


def test_a_row_whose_answer_only_the_verifier_knows_is_no_example() -> None:
    [row] = rows({"question": "a", "answer": "1"})
    assert example_of(replace(row, reference=Reference(None))) is None
