"""Which references a self-check alters, how, and how the altered ones are written."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from backend.settings import settings
from backend.verifiers.alterations import Change
from backend.verifiers.probes import ProbeRow
from backend.verifiers.selfcheck_altered import MAX_JUDGED, MAX_ROWS, AlteredRow, altered_rows
from backend.verifiers.specs import parse_spec

EQUAL = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.answer}}", "operation": "eq"}
JUDGE = {
    "type": "score_model",
    "model": "judge",
    "input": [{"role": "user", "content": "Is {{sample.output_text}} the same as {{item.answer}}?"}],
    "range": [0, 10],
}


def altered(grader: dict[str, Any], *answers: str, form: str = "bare", **more: Any) -> list[AlteredRow]:
    rows = [ProbeRow(number=n, item={"answer": text}, answer=text, **more) for n, text in enumerate(answers)]
    return altered_rows(rows, spec=parse_spec(grader), form=form, most_texts=64)


def changes(grader: dict[str, Any], *answers: str) -> set[Change]:
    return {each.change for row in altered(grader, *answers) for each in row.wrong.values()}


@pytest.mark.parametrize(
    ("grader", "answer", "tried", "not_tried"),
    [
        ({"type": "number"}, "5 km", {Change.DIGIT, Change.SIGN, Change.FACTOR}, {Change.UNIT}),
        ({"type": "number", "units": {"km": 1000, "m": 1}}, "5 km", {Change.UNIT}, set()),
        ({"type": "number", "units": {"km": 1, "kilometers": 1}}, "5 km", {Change.DIGIT}, {Change.UNIT}),
        ({"type": "math"}, "5 km", {Change.DIGIT}, {Change.UNIT}),
        ({"type": "choice", "choices": ["1", "2", "3"]}, "2", {Change.CHOICE}, {Change.DIGIT, Change.SIGN}),
        (EQUAL, "5 km", {Change.DIGIT, Change.SIGN, Change.FACTOR, Change.UNIT}, set()),
        (EQUAL | {"operation": "ne"}, "5 km", set(), set(Change)),
        ({"type": "regex", "pattern": "<answer>"}, "5 km", set(), set(Change)),
        ({"type": "json_schema", "schema": {"type": "object"}}, "5 km", set(), set(Change)),
    ],
)
def test_only_what_a_grader_promises_to_compare_is_altered(
    grader: dict[str, Any], answer: str, tried: set[Change], not_tried: set[Change]
) -> None:
    found = changes(grader, answer)
    assert tried <= found
    assert not not_tried & found


def test_letters_are_choices_only_if_all_references_are_letters() -> None:
    assert changes(EQUAL, "A", "C", "(B)") == {Change.CHOICE}
    assert changes(EQUAL, "A", "C", "helium") == {Change.PART, Change.WORD}


def test_the_number_of_references_and_texts_is_bounded() -> None:
    many = [str(number) for number in range(100, 200)]
    rows = altered(EQUAL, *many)
    assert len(rows) == MAX_ROWS
    assert sum(len(row.texts) for row in rows) <= 64
    few = altered_rows([row.row for row in rows], spec=parse_spec(EQUAL), form="bare", most_texts=7)
    assert sum(len(row.texts) for row in few) <= 7


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RLSD_JUDGE_URL", "http://127.0.0.1:9/v1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("judge")
def test_a_judge_is_asked_about_few_references_and_alterations() -> None:
    judged = altered(JUDGE, *(str(number) for number in range(100, 200)))
    assert len(judged) == MAX_JUDGED
    assert all(len(row.wrong) == MAX_JUDGED for row in judged)


def test_an_altered_answer_is_written_where_the_form_has_the_answer() -> None:
    (boxed,) = altered(EQUAL, "12", form="boxed")
    assert "So the result is $\\boxed{-12}$." in boxed.wrong
    (solved,) = altered(EQUAL, "12", form="solution", solution="12 is 3 times 4, so it is 12.")
    assert solved.right == "12 is 3 times 4, so it is 12."
    assert "12 is 3 times 4, so it is -12." in solved.wrong
    assert altered(EQUAL, "12", form="solution", solution="a dozen") == []
    path = EQUAL | {"input": "{{sample.output_json.found.total}}"}
    (written,) = altered(path, "12", form="json")
    assert json.loads(written.right) == {"found": {"total": "12"}}
    assert {"found": {"total": "-12"}} in [json.loads(text) for text in written.wrong]
