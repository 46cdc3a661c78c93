"""An answer that is the number of a choice is that choice's letter, counted as the rows of its file show."""

from typing import Any

import pytest

from backend.datasets.rows.recognise import stored_shape
from backend.datasets.rows.shape import ColumnMapping
from backend.errors import AppError
from tests.backend.datasets.rows.reading import lines, read_all, read_one

CHOICES = ["w", "x", "y", "z"]


def of(*answers: Any, choices: Any = CHOICES, **others: Any) -> Any:
    return lines(*({"question": "Which?", "choices": choices, "answer": answer} | others for answer in answers))


@pytest.mark.parametrize("choices", [CHOICES, "['w', 'x', 'y', 'z']", "['w' 'x' 'y'\n 'z']", '["w", "x", "y", "z"]'])
@pytest.mark.parametrize("written", [int, str])
def test_numbers_of_which_one_is_0_count_from_0(choices: Any, written: type) -> None:
    rows, report = read_all(of(*map(written, (1, 3, 0, 2)), choices=choices))
    assert [row.reference.answer for row in rows] == ["B", "D", "A", "C"]
    assert rows[0].messages[0]["content"] == "Which?\n\nA. w\nB. x\nC. y\nD. z"
    assert "count the choices in 'choices' from 0: the right answers are their letters" in "\n".join(report.notes)
    assert report.shape is not None
    assert stored_shape(report.shape, report.columns).first_choice == "0"


def test_numbers_of_which_one_is_the_number_of_choices_count_from_1() -> None:
    rows, report = read_all(of(1, 4, 2))
    assert [row.reference.answer for row in rows] == ["A", "D", "B"]
    assert "from 1" in "\n".join(report.notes)


def test_columns_of_choices_are_numbered_too() -> None:
    options = {"option_a": "w", "option_b": "x", "option_c": "y"}
    rows, _ = read_all(lines(*({"question": "Which?"} | options | {"answer": n} for n in (0, 2))))
    assert [row.reference.answer for row in rows] == ["A", "C"]


@pytest.mark.parametrize("names", [("choice1", "choice2"), ("sol1", "sol2"), ("option1", "option2")])
def test_numbered_columns_are_counted_from_0_if_a_row_says_so(names: tuple[str, str]) -> None:
    """COPA's and PIQA's `label` is 0 or 1, where WinoGrande's `answer` is 1 or 2."""
    choices = dict(zip(names, ("w", "x"), strict=True))
    rows, report = read_all(lines(*({"question": "Which?"} | choices | {"answer": n} for n in (1, 0))))
    assert [row.reference.answer for row in rows] == ["2", "1"]
    assert rows[1].messages[0]["content"] == "Which?\n\n1. w\n2. x"
    assert f"count the choices in '{names[0]}' from 0: the right answers are their numbers, 1 for" in report.notes[0]
    rows, report = read_all(lines(*({"question": "Which?"} | choices | {"answer": n} for n in (1, 2, 1))))
    assert [row.reference.answer for row in rows] == ["1", "2", "1"]
    assert "count" not in "\n".join(report.notes)


def test_numbers_that_may_count_from_0_or_1_are_asked_about() -> None:
    with pytest.raises(AppError, match="may count the choices in 'choices' from 0 or from 1") as refused:
        read_all(of(1, 2, 3))
    assert refused.value.code == "unknown_first_choice"
    for first, letters in ((0, ["B", "C", "D"]), (1, ["A", "B", "C"])):
        rows, _ = read_all(of(1, 2, 3), ColumnMapping(first_choice=first))
        assert [row.reference.answer for row in rows] == letters
    mapping = ColumnMapping(question="question", answer="answer", first_choice=1)
    assert read_all(of(2), mapping)[0][0].reference.answer == "B"


def test_a_number_that_contradicts_the_others_is_refused() -> None:
    rows, report = read_all(of(0, 4, 2))
    assert [row.reference.answer for row in rows] == ["A", "C"]
    assert "has the number 4 in 'answer', where 4 choices are counted from 0" in report.problems[0].message


def test_choices_that_are_numbers_are_numbered_where_one_row_shows_it() -> None:
    items = (
        {"question": "2 + 2?", "choices": each, "answer": n} for each, n in ((CHOICES, 0), (["4", "2", "1", "0"], 1))
    )
    rows, _ = read_all(lines(*items))
    assert [row.reference.answer for row in rows] == ["A", "B"]
    row, _ = read_one({"question": "2 + 2?", "choices": ["4", "2", "1", "0"], "answer": "4"})
    assert row.reference.answer == "4"
    row, _ = read_one({"question": "2 + 20?", "choices": ["20", "22", "10", "30"], "answer": 22})
    assert row.reference.answer == "22"


@pytest.mark.parametrize(
    "item",
    [
        {"choices": {"text": ["w", "x"], "label": ["1", "2"]}, "answer": "2"},
        {"option1": "w", "option2": "x", "answer": "2"},
        {"question": "Which?\n0. w\n1. x", "choices": ["w", "x"], "answer": 2},
        {"choices": ["w", "x"], "answer": True},
    ],
)
def test_a_label_or_what_the_question_numbers_itself_is_no_number_of_ours(item: dict[str, Any]) -> None:
    row, report = read_one({"question": "Which?"} | item)
    assert row.reference.answer in ("2", "true")
    assert "first_choice" not in report.columns
