"""Rows with several right answers: any one of them scores, nothing else does, and the self-check knows them."""

import pytest

from backend.verifiers.selfcheck import ProbeRow
from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
from tests.worker.sandbox.verifiers import outcomes, python
from worker.checks.self_check import check_verifier

ITEM = {"answers": ["New York", "NYC"]}
GRADERS = {
    "regex": ({"type": "regex", "pattern": "^(?P<answer>.*)$"}, ("New York", "NYC"), "York", "Rome"),
    "string_check": (
        {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.x}}", "operation": "ilike"},
        ("New York", "NYC"),
        "I think nyc.",
        "Rome",
    ),
    "ne": (
        {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.x}}", "operation": "ne"},
        ("New York", "NYC"),
        "Rome",
        "NYC",
    ),
    "number": ({"type": "number"}, ("five", "5", "5.0"), "It is 5.", "6"),
    "choice": ({"type": "choice"}, ("B", "C"), "Answer: C", "Answer: A"),
    "math": ({"type": "math"}, (r"\frac{1}{2}", "x"), "$0.5$", "y"),
    "text_similarity": (
        {
            "type": "text_similarity",
            "input": "{{sample.output_text}}",
            "reference": "{{item.x}}",
            "evaluation_metric": "rouge_1",
        },
        ("New York", "NYC"),
        "NYC",
        "Rome",
    ),
}


@pytest.mark.parametrize("kind", GRADERS)
def test_any_one_of_several_answers_is_right(sandbox, kind):
    grader, accepted, right, wrong = GRADERS[kind]
    samples = [Sample(output_text=text, item={"x": [*accepted]}, answer=accepted) for text in (right, wrong)]
    expected = [(0.0, "ok"), (0.0, "ok")] if kind == "regex" else [(1.0, "ok"), (0.0, "ok")]
    assert outcomes(sandbox.grade(parse_spec(grader), samples)) == expected
    if kind == "regex":
        (record,) = sandbox.grade(parse_spec(grader), [Sample(output_text="NYC", item={}, answer=accepted)])
        assert record.score == 1


def test_a_row_of_which_no_answer_can_be_read_is_an_error(sandbox):
    (record,) = sandbox.grade(parse_spec({"type": "number"}), [Sample(output_text="5", item={}, answer=("a", "b"))])
    assert (record.score, record.status.value) == (None, "error")
    assert "'a' contains no number" in record.reason


def test_a_list_that_is_not_the_row_s_answers_is_compared_as_json(sandbox):
    spec = parse_spec(
        {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.x}}", "operation": "eq"}
    )
    samples = [Sample(output_text=text, item={"x": ["a", "b"]}, answer="c") for text in ('["a", "b"]', "a")]
    assert outcomes(sandbox.grade(spec, samples)) == [(1.0, "ok"), (0.0, "ok")]


@pytest.mark.usefixtures("python_allowed")
def test_python_gets_the_list(sandbox):
    source = "def grade(completion, answer):\n    return max(float(each in completion) for each in answer)\n"
    samples = [Sample(output_text=text, item=ITEM, answer=("New York", "NYC")) for text in ("NYC", "N")]
    assert outcomes(sandbox.grade(python(source), samples)) == [(1.0, "ok"), (0.0, "ok")]


def test_the_self_check_takes_no_accepted_answer_for_a_wrong_one(sandbox):
    names = [
        ("Barack Obama", "Barack", "Obama"),
        ("Angela Merkel", "Angela", "Merkel"),
        ("Xi Jinping", "Xi"),
    ]
    rows = [
        ProbeRow(number=n, item={"answers": [*each]}, answer=each[0], accepted=each) for n, each in enumerate(names)
    ]
    spec = parse_spec(
        {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.answers}}", "operation": "eq"}
    )
    result = check_verifier(spec, rows, sandbox=sandbox)
    assert result["verdict"] == "pass", result["findings"]
