"""What a question asks about is part of the prompt, or said not to be: a text, and choices of which one is right."""

from typing import Any

import pytest

from backend.datasets.rows.asked_about import CONTEXT, MAYBE_CONTEXT
from backend.datasets.rows.recognise import stored_shape
from backend.datasets.rows.shape import ColumnMapping
from backend.errors import AppError
from tests.backend.datasets.rows.reading import QUESTION, lines, read_all, read_one

ABCD = "Which?\n\nA. x\nB. y\nC. z\nD. w"
LISTED: dict[str, dict[str, Any]] = {
    "RACE": {"options": ["x", "y", "z", "w"], "answer": "B"},
    "ARC": {"choices": {"text": ["x", "y", "z", "w"], "label": ["A", "B", "C", "D"]}, "answer": "B"},
    "as a CSV file of pandas has them": {"options": "['x', 'y', 'z', 'w']", "answer": "B"},
    "labelled, as JSON text": {"options": '{"A": "x", "B": "y", "C": "z", "D": "w"}', "answer": "B"},
    "choices by label": {"options": {"A": "x", "B": "y", "C": "z", "D": "w"}, "answer": "B"},
    "a label in parentheses": {"options": ["x", "y", "z", "w"], "answer": "(b)"},
    "columns": {"option_a": "x", "option_b": "y", "option_c": "z", "option_d": "w", "answer": "B"},
    "columns with capitals": {"Option A": "x", "Option B": "y", "Option C": "z", "Option D": "w", "Answer": "B"},
    "MedMCQA": {"opa": "x", "opb": "y", "opc": "z", "opd": "w", "answer": "B"},
    "a workbook": {"A": "x", "B": "y", "C": "z", "D": "w", "Answer": "B"},
    "AQuA": {"options": ["A)x", "B)y", "C)z", "D)w"], "answer": "B"},
    "labels in parentheses": {"options": ["(A) x", "(B) y", "(C) z", "(D) w"], "answer": "B"},
    "HellaSwag": {"endings": ["x", "y", "z", "w"], "answer": "B"},
    "Social IQa": {"answerA": "x", "answerB": "y", "answerC": "z", "answerD": "w", "answer": "B"},
    "choice_a": {"choice_a": "x", "choice_b": "y", "choice_c": "z", "choice_d": "w", "answer": "B"},
}


@pytest.mark.parametrize("columns", LISTED.values(), ids=LISTED)
def test_choices_of_which_the_answer_names_one_are_part_of_the_question(columns: dict[str, Any]) -> None:
    row, report = read_one({"question": "Which?"} | columns)
    column = next(iter(columns))
    assert row.messages == [{"role": "user", "content": ABCD}]
    assert report.notes == [f"The choices in '{column}' are part of the questions."]
    assert report.columns["choices"] == column
    assert report.shape is not None
    assert stored_shape(report.shape, report.columns).choices == column


def test_an_answer_that_is_a_choice_s_text_leaves_the_labels_out() -> None:
    row, _ = read_one({"question": "Which?", "options": ["x", "y"], "answer": "Y."})
    assert row.messages[0]["content"] == "Which?\n\n- x\n- y"


@pytest.mark.parametrize("name", ["ending", "answer"])
def test_choices_that_are_numbered_from_0_have_their_numbers(name: str) -> None:
    row, _ = read_one({"question": "Which?", f"{name}0": "x", f"{name}1": "y", "answer": 1})
    assert (row.messages[0]["content"], row.reference.answer) == ("Which?\n\n0. x\n1. y", "1")


def test_numbered_choices_have_their_numbers() -> None:
    row, _ = read_one({"question": "Which?", "option1": "x", "option2": "y", "answer": "2"})
    assert row.messages[0]["content"] == "Which?\n\n1. x\n2. y"


def test_a_choice_that_a_row_lacks_is_left_out() -> None:
    rows, _ = read_all(
        lines(*({"question": "Which?", "a": "x", "b": "y", "c": last, "answer": "B"} for last in ("z", "", None)))
    )
    assert [row.messages[0]["content"][-4:] for row in rows] == ["C. z", "B. y", "B. y"]


def test_text_and_choices_follow_the_question() -> None:
    row, report = read_one({"question": "Which?", "article": "Long.", "options": ["x", "y"], "answer": "A"})
    assert row.messages[0]["content"] == "Which?\n\nLong.\n\nA. x\nB. y"
    assert len(report.notes) == 2


@pytest.mark.parametrize("answer", ["7", 7, "C", "z", "x, y"])
def test_choices_that_the_answer_does_not_name_are_left_out_and_said_so(answer: object) -> None:
    row, report = read_one({"question": "Which?", "choices": ["x", "y"], "answer": answer})
    assert row.messages[0]["content"] == "Which?"
    assert report.notes == ["What 'choices' lists is not part of the questions: write the choices into them."]


@pytest.mark.parametrize(
    "question",
    ["Which?\nA. x\nB. y", "Which?\n(A) x (B) y", "Which: x, or y?\nx\ny", "Which?\n- x\n- y", "x, y or?\nA) x\nB) y"],
)
def test_choices_that_the_question_lists_are_not_repeated(question: str) -> None:
    row, report = read_one({"question": question, "choices": ["x", "y"], "answer": "B"})
    assert (row.messages[0]["content"], report.notes) == (question, [])


def test_choices_that_the_question_only_mentions_are_listed() -> None:
    row, _ = read_one({"question": "What is 2 + 4?", "choices": ["2", "4", "6"], "answer": "C"})
    assert row.messages[0]["content"] == "What is 2 + 4?\n\nA. 2\nB. 4\nC. 6"


@pytest.mark.parametrize(
    "item", [{"choices": "A"}, {"a": "x"}, {"option_b": "x"}, {"options": ["x"]}, {"choices": None}]
)
def test_one_choice_is_none(item: dict[str, Any]) -> None:
    row, report = read_one({"question": "Which?", "answer": "A"} | item)
    assert (row.messages[0]["content"], report.notes) == ("Which?", [])


def test_columns_of_letters_are_choices_only_where_the_answer_is_such_a_letter() -> None:
    row, report = read_one({"question": "a + b?", "a": 3, "b": 0, "answer": "3"})
    assert (row.messages[0]["content"], report.notes) == ("a + b?", [])


def test_choices_next_to_messages_are_said_to_be_left_out() -> None:
    _, report = read_one({"messages": QUESTION, "options": ["x", "y"], "answer": "B"})
    assert report.notes == ["What 'options' lists is not part of the questions: write the choices into them."]


def test_a_body_that_the_question_goes_on_from_is_part_of_it() -> None:
    row, _ = read_one({"Body": "There are 290 bananas in 2 groups.", "Question": "How big is each?", "Answer": "145"})
    assert row.messages[-1]["content"] == "How big is each?\n\nThere are 290 bananas in 2 groups."


def test_texts_of_a_list_are_paragraphs() -> None:
    row, _ = read_one({"question": "Who?", "contexts": ["Ann did.", "Bob did not."], "answer": "Ann"})
    assert row.messages[0]["content"] == "Who?\n\nAnn did.\n\nBob did not."


def test_a_text_that_the_question_has_already_is_not_repeated() -> None:
    row, _ = read_one({"prompt": "Ann did.\n\nWho?", "context": "Ann did.\n", "answer": "Ann"})
    assert row.messages[0]["content"] == "Ann did.\n\nWho?"


@pytest.mark.parametrize("column", [*MAYBE_CONTEXT, "DB schema"])
def test_a_column_that_the_question_may_be_about_is_named(column: str) -> None:
    row, report = read_one({"question": "Who?", column: "Ann did.", "answer": "Ann"})
    assert row.messages[0]["content"] == "Who?"
    assert report.notes == [
        f"The column '{column}' is not part of the questions: if they ask about it, name it as `context` in `mapping`."
    ]
    mapping = ColumnMapping(question="question", answer="answer", context=column)
    row, report = read_one({"question": "Who?", column: "Ann did.", "answer": "Ann"}, mapping)
    assert row.messages[0]["content"] == "Who?\n\nAnn did."
    assert report.notes == [f"The texts in '{column}' are part of the questions."]
    assert read_one({"question": "Who? Ann did.", column: "Ann did.", "answer": "Ann"})[1].notes == []
    assert read_one({"question": "Who?", column: "", "answer": "Ann"})[1].notes == []


@pytest.mark.parametrize("column", CONTEXT)
def test_with_a_mapping_or_messages_a_text_is_named_and_not_added(column: str) -> None:
    mapping = ColumnMapping(question="question", answer="answer")
    row, report = read_one({"question": "Who?", column: "Ann did.", "answer": "Ann"}, mapping)
    assert row.messages[0]["content"] == "Who?"
    assert "name it as `context`" in report.notes[0]
    _, report = read_one({"messages": QUESTION, column: "Ann did.", "answer": "Ann"})
    assert report.notes == [
        f"The column '{column}' is not part of the questions: if they ask about it, put it into them."
    ]


def test_an_answer_or_a_solution_is_no_text_that_is_asked_about() -> None:
    mapping = ColumnMapping(question="text", answer="code", hint="evidence")
    assert read_one({"text": "Add.", "code": "a + b", "evidence": "so"}, mapping)[1].notes == []


def test_two_texts_of_different_columns_are_refused_and_a_mapping_decides() -> None:
    item = {"question": "Who?", "article": "Ann did.", "story": "Bob did.", "answer": "Ann"}
    with pytest.raises(AppError, match="'article' and 'story' are candidates for the text after the question"):
        read_one(item)
    row, _ = read_one(item, ColumnMapping(question="question", answer="answer", context="story"))
    assert row.messages[0]["content"] == "Who?\n\nBob did."
    assert read_one(item | {"story": "Ann did."})[0].messages[0]["content"] == "Who?\n\nAnn did."


def test_a_mapping_of_a_text_that_no_row_has_is_refused() -> None:
    with pytest.raises(AppError, match="the column 'article', which the first row does not have"):
        read_one(
            {"question": "q", "answer": "a"}, ColumnMapping(question="question", answer="answer", context="article")
        )
