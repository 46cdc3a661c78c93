"""The name of a job's verifier."""

from typing import Any

import pytest

from frontend.words import verifiers

EXACT = {"type": "string_check", "input": "{{sample.output_text}}", "operation": "eq", "reference": "{{item.answer}}"}


def job(grader: dict[str, Any], **more: Any) -> Any:
    return {"method": {"reinforcement": {"grader": grader, **more}}}


@pytest.mark.parametrize(
    ("grader", "more", "expected"),
    [
        (EXACT, {"x_verifier": {"id": "ver-1", "version": 2, "name": "last word"}}, "last word (version 2)"),
        ({**EXACT, "name": "its own"}, {}, "its own · "),
        (EXACT, {"x_verifier": {"id": "ver-1", "version": 2, "name": None}}, "Text comparison · "),
    ],
)
def test_a_saved_name_comes_first(grader: dict[str, Any], more: dict[str, Any], expected: str) -> None:
    assert verifiers.of_job(job(grader, **more)).startswith(expected)


def test_two_unsaved_verifiers_have_different_names() -> None:
    names = {verifiers.of_job(job({**EXACT, "operation": operation})) for operation in ("eq", "ne", "eq")}
    assert len(names) == 2
