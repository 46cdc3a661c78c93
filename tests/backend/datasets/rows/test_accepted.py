"""Several answers of which any one is right: read as such where a data set says so, else said or refused by name."""

from typing import Any

import pytest

from backend.datasets.rows.references import right_answer_of
from backend.datasets.rows.rows import NormalRow
from backend.datasets.rows.shape import ColumnMapping
from backend.errors import AppError
from tests.backend.datasets.rows.reading import lines, read_all, read_one

ASKED = {"question": "Who?"}
FORMS: dict[str, tuple[dict[str, Any], str]] = {
    "Search-R1": (
        {"prompt": "Who?", "reward_model": {"style": "rule", "ground_truth": {"target": ["Ann", "A. Lee"]}}},
        "reward_model.ground_truth",
    ),
    "FlashRAG": (ASKED | {"golden_answers": ["Ann", "A. Lee"]}, "golden_answers"),
    "WebQuestions": (ASKED | {"answers": ["Ann", "A. Lee"]}, "answers"),
    "SQuAD": (ASKED | {"answers": {"text": ["Ann", "A. Lee", "Ann"], "answer_start": [1, 1, 1]}}, "answers"),
    "SQuAD's own file": (ASKED | {"answers": [{"text": t, "answer_start": 1} for t in ("Ann", "A. Lee")]}, "answers"),
    "TriviaQA": (
        ASKED | {"answer": {"value": "Ann", "aliases": ["A. Lee", "Ann"], "normalized_aliases": ["a lee", "ann"]}},
        "answer",
    ),
    "PopQA, as JSON text": (ASKED | {"possible_answers": '["Ann", "A. Lee"]'}, "possible_answers"),
    "a CSV file of pandas": (ASKED | {"golden_answers": "['Ann', 'A. Lee']"}, "golden_answers"),
    "a CSV file of NumPy's lists": (ASKED | {"golden_answers": "['Ann'\n 'A. Lee']"}, "golden_answers"),
    "HARDMath": ({"problem": "Who?", "ground_truths": ["Ann", "A. Lee"]}, "ground_truths"),
    "BIG-bench": ({"input": "Who?", "targets": ["Ann", "A. Lee"]}, "targets"),
    "capitals": ({"Question": "Who?", "Golden Answers": ["Ann", "A. Lee"]}, "Golden Answers"),
    "MuSiQue": (ASKED | {"answer": "Ann", "answer_aliases": ["A. Lee", "Ann"]}, "answer"),
    "names in another column, as a CSV file has them": (ASKED | {"answer": "Ann", "Aliases": "['A. Lee']"}, "answer"),
    "messages": ({"messages": [{"role": "user", "content": "Who?"}], "answers": ["Ann", "A. Lee"]}, "answers"),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_of_several_answers_is_kept_and_the_first_is_the_reference(form: str) -> None:
    item, column = FORMS[form]
    row, report = read_one(item)
    assert row.reference.answer == "Ann"
    assert row.reference.accepted == row.reference.right == ("Ann", "A. Lee")
    assert f"Any one of the answers in '{column}' is right" in "\n".join(report.notes)
    assert NormalRow.from_json(row.to_json() | {"images": [], "tools": []}, number=0, line=1).reference == row.reference


def test_one_answer_of_a_list_is_that_answer_and_stays_a_list_for_python() -> None:
    row, _ = read_one(ASKED | {"golden_answers": ["Ann"]})
    assert (row.reference.answer, row.reference.right) == ("Ann", ("Ann",))


@pytest.mark.parametrize("name", ["answers", "ground_truths", "labels", "targets", "solutions", "golden_answers"])
@pytest.mark.parametrize(("value", "answer"), [("Ann", "Ann"), (7, "7"), (["Ann"], "Ann"), ([7], "7")])
def test_a_plural_column_of_one_answer_is_that_answer(name: str, value: Any, answer: str) -> None:
    assert read_one(ASKED | {name: value})[0].reference.answer == answer


@pytest.mark.parametrize(("value", "answer"), [(["Ann"], "Ann"), ([7], "7"), (["a", "b"], '["a", "b"]')])
def test_a_list_of_one_under_any_name_is_its_element(value: Any, answer: str) -> None:
    row, report = read_one(ASKED | {"final_answer": value})
    assert (row.reference.right, len(report.notes)) == (answer, int(len(value) > 1))


def test_a_singular_column_comes_before_a_plural_one() -> None:
    assert read_one(ASKED | {"answer": "42", "solutions": ["because"]})[0].reference.right == "42"


def test_what_has_an_interval_or_a_dictionary_of_its_own_is_one_answer() -> None:
    assert read_one(ASKED | {"answers": "[1, 2]"})[0].reference.right == "[1, 2]"
    countdown = {"prompt": "Make 98.", "reward_model": {"ground_truth": {"target": 98, "numbers": [44, 19, 35]}}}
    assert read_one(countdown)[0].reference.right == '{"target": 98, "numbers": [44, 19, 35]}'


def test_a_list_of_another_name_is_any_of_its_answers_where_the_mapping_says_so() -> None:
    item = ASKED | {"answer": ["Ann", "A. Lee"]}
    row, report = read_one(item, ColumnMapping(question="question", answer="answer.*"))
    assert row.reference.accepted == ("Ann", "A. Lee")
    assert report.columns["answer"] == "answer.*"
    row, report = read_one(item)
    assert (row.reference.right, len(report.notes)) == ('["Ann", "A. Lee"]', 1)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"labels": ["joy", "awe"]}, "map `answer` to 'labels.*'"),
        ({"answers": []}, "has no answer in 'answers'"),
        ({"answers": {"text": [], "answer_start": []}}, "has no answer in 'answers'"),
        ({"golden_answers": [["a"], ["b"]]}, "a list or an object of its own"),
        ({"golden_answers": "['a', b]"}, "neither JSON nor in Python's notation"),
    ],
)
def test_what_is_not_clear_is_refused_by_name(value: Any, said: str) -> None:
    rows, report = read_all(lines(ASKED | value))
    assert not rows
    assert said in report.problems[0].message


def test_a_mapped_list_that_the_first_row_lacks_is_named() -> None:
    with pytest.raises(AppError, match=r"'aliases\.\*'"):
        read_one(ASKED | {"answer": "a"}, ColumnMapping(question="question", answer="aliases.*"))


def test_a_row_that_belongs_to_no_file_is_read_alike() -> None:
    assert right_answer_of({"golden_answers": ["a", "b"]}) == ("a", "b")
    assert right_answer_of({"answer": "a"}) == "a"
    assert right_answer_of({"x": "a"}) is None
