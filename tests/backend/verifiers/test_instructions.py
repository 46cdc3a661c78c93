"""Templates of instructions ask for the form that the chosen verifier reads."""

from typing import Any

import pytest

from backend.verifiers.instructions import Example, fitting, instructions, worked_examples
from backend.verifiers.ready_made import READY_MADE
from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample
from worker.sandbox.pool import Sandbox

GRADERS: dict[str, Any] = {ready.id: dict(ready.grader) for ready in READY_MADE}


def text_of(grader: Any, code: str) -> str:
    return next(each.text for each in instructions(grader) if each.code == code)


@pytest.mark.parametrize(
    ("verifier", "name", "asked_for", "reference", "answered"),
    [
        ("number-with-units", "number", "`Answer: <number>`", "12", "6 and 6, 2 times.\nAnswer: 12"),
        ("mathematics", "boxed", r"\boxed{}", "1/2", r"Half of 1, or 2/4, is \boxed{\frac{1}{2}}."),
        ("multiple-choice", "choice", "on the last line: A, B, C, D.", "B", "A and C are wrong.\nAnswer: B"),
        (
            "json-with-schema",
            "json",
            'with the keys "answer" (string), "confidence" (number, optional). Write nothing',
            "Paris",
            '{"answer": "Paris"}',
        ),
    ],
)
def test_what_the_suggested_template_asks_for_gets_full_marks(
    verifier: str, name: str, asked_for: str, reference: str, answered: str
) -> None:
    grader = GRADERS[verifier]
    assert fitting(grader) == name
    assert asked_for in text_of(grader, name)
    shown = worked_examples([Example("Which one?", reference, None)], grader).partition("Which one?\n")[2]
    texts = [answered] if name == "json" else [answered, shown]
    samples = [Sample(output_text=text, item={"answer": reference}, answer=reference) for text in texts]
    with Sandbox() as sandbox:
        scores = sandbox.grade(parse_spec(grader), samples)
    assert [score.score for score in scores] == [1.0] * len(texts), scores


def test_nothing_is_suggested_for_a_verifier_that_may_expect_any_form() -> None:
    for verifier in ("exact", "hashes", "format-and-answer"):
        assert fitting(GRADERS[verifier]) is None


@pytest.mark.parametrize("schema", [True, {}, {"properties": {}}, {"type": "array"}, {"properties": 3}])
def test_a_schema_without_keys_asks_for_an_object_alone(schema: Any) -> None:
    grader = {"type": "json_schema", "schema": schema}
    assert text_of(grader, "json").startswith("Answer with one JSON object. Write nothing")


def test_keys_of_any_type_are_named() -> None:
    schema = {"properties": {"a": True, "b": {"type": ["string", "null"]}}, "required": ["a"]}
    assert 'keys "a", "b" (optional).' in text_of({"type": "json_schema", "schema": schema}, "json")


def test_examples_show_the_worked_solution_else_the_answer() -> None:
    examples = [Example("2 + 2?", "4", "Two and two.\nAnswer: 4"), Example("3 + {3}?", "6", None)]
    assert worked_examples(examples, GRADERS["exact"]) == (
        "Examples:\n\nQuestion: 2 + 2?\nTwo and two.\nAnswer: 4\n\nQuestion: 3 + {3}?\nAnswer: 6"
    )
    assert worked_examples([], GRADERS["exact"]) == ""
