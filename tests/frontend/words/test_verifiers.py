"""What a verifier is called where only a job tells of it."""

from typing import Any

import pytest

from frontend.words import verifiers

EXACT = {"type": "string_check", "input": "{{sample.output_text}}", "operation": "eq", "reference": "{{item.answer}}"}


def job(grader: dict[str, Any], **more: Any) -> Any:
    return {"method": {"reinforcement": {"grader": grader, **more}}}


@pytest.mark.parametrize(
    ("grader", "more", "said"),
    [
        (EXACT, {"x_verifier": {"id": "ver-1", "version": 2, "name": "last word"}}, "last word (version 2)"),
        ({**EXACT, "name": "its own"}, {}, "its own · "),
        (EXACT, {"x_verifier": {"id": "ver-1", "version": 2, "name": None}}, "Text comparison · "),
    ],
)
def test_the_name_under_which_it_was_saved_wins(grader: dict[str, Any], more: dict[str, Any], said: str) -> None:
    assert verifiers.of_job(job(grader, **more)).startswith(said)


def test_two_that_nobody_saved_are_told_apart() -> None:
    names = {verifiers.of_job(job({**EXACT, "operation": operation})) for operation in ("eq", "ne", "eq")}
    assert len(names) == 2
