"""A completion that its row calls wrong is never a right answer; labels that are answers stay what they are."""

import io
from typing import Any

import pytest

from backend.datasets.rows.shape import ColumnMapping
from tests.backend.datasets.rows.reading import QUESTION, lines, read_all, read_one

SAYS = [{"role": "assistant", "content": "4"}]
TURNS = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]
LABELLED: dict[str, tuple[dict[str, Any], str]] = {
    "TRL's KTO": ({"prompt": "2 + 2?", "completion": "4"}, "label"),
    "TRL's KTO of messages": ({"prompt": QUESTION, "completion": SAYS}, "label"),
    "capitals": ({"Prompt": "2 + 2?", "Completion": "4"}, "Label"),
    "messages": ({"messages": [*QUESTION, *SAYS]}, "label"),
    "LLaMA-Factory's messages": ({"messages": [*QUESTION, *SAYS]}, "kto_tag"),
    "LLaMA-Factory's turns": ({"conversations": TURNS}, "kto_tag"),
    "LLaMA-Factory's instructions": ({"instruction": "2 + 2?", "input": "", "output": "4"}, "kto_tag"),
    "a marked response": ({"question": "2 + 2?", "response": "4"}, "is_correct"),
}


@pytest.mark.parametrize(("item", "column"), LABELLED.values(), ids=LABELLED)
@pytest.mark.parametrize(("bad", "good"), [(False, True), (0, 1), ("False", "True"), ("0", "1"), (0.0, None)])
def test_a_completion_that_is_labelled_wrong_is_a_bad_row_and_others_are_read(
    item: dict[str, Any], column: str, bad: Any, good: Any
) -> None:
    rows, report = read_all(lines(item | {column: bad}, item | {column: good}))
    assert [(row.line, row.reference.answer) for row in rows] == [(2, "4")]
    (problem,) = report.problems
    assert (problem.line, problem.code) == (1, "labelled_false")
    assert f"is labelled false in '{column}', so it is no right answer" in problem.message


def test_labels_of_a_table_of_text_count() -> None:
    rows, report = read_all(io.BytesIO(b"prompt,completion,label\n1+1?,2,True\n1+1?,3,False\n1+2?,3,1\n"))
    assert [row.line for row in rows] == [2, 4]
    assert [problem.line for problem in report.problems] == [3]


def test_a_mapping_takes_no_completion_that_is_labelled_wrong() -> None:
    item = {"prompt": "2 + 2?", "completion": "5", "label": False}
    _, report = read_all(lines(item), ColumnMapping(question="prompt", answer="completion"))
    assert [problem.code for problem in report.problems] == ["labelled_false"]


@pytest.mark.parametrize(
    ("item", "mapping", "answer"),
    [
        ({"text": "Spam?", "label": 0}, ColumnMapping(question="text", answer="label"), "0"),
        ({"messages": QUESTION, "label": False}, None, "false"),
        ({"question": "Is it?", "answer": "no", "label": 0}, None, "no"),
        ({"prompt": "Why?", "completion": "a", "label": "spam"}, None, "a"),
        ({"prompt": "Why?", "completion": "a", "label": 2}, None, "a"),
        ({"prompt": "Why?", "completion": "b", "answer": "a", "label": False}, None, "a"),
    ],
)
def test_a_label_that_is_the_answer_or_a_class_is_read_as_before(
    item: dict[str, Any], mapping: ColumnMapping | None, answer: str
) -> None:
    assert read_one(item, mapping)[0].reference.answer == answer


@pytest.mark.parametrize("rejected", ["rejected", "rejected_response", "Rejected"])
def test_a_rejected_answer_next_to_messages_is_never_the_right_one(rejected: str) -> None:
    _, report = read_all(lines({"messages": QUESTION, rejected: "5"}))
    assert [problem.code for problem in report.problems] == ["missing_answer"]
    assert read_one({"messages": [*QUESTION, *SAYS], rejected: "5"})[0].reference.answer == "4"
    assert read_one({"messages": QUESTION, "chosen": SAYS[0], rejected: "5"})[0].reference.answer == "4"


def test_ratings_of_completions_are_named_once() -> None:
    rated = {"prompt": "Why?", "response": "a", "helpfulness": 1, "correctness": 2}
    rows, report = read_all(lines(rated, rated | {"helpfulness": 4}))
    assert len(rows) == 2
    assert report.notes == ["Completions are right answers here, whatever their rating in 'helpfulness'."]
    assert read_one({"question": "Why?", "answer": "a", "score": 1})[1].notes == []
