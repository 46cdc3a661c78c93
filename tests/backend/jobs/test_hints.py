"""The hint made of the values that a grader looks up in a row."""

import json
from io import BytesIO
from typing import Any

import pytest

from backend.datasets.rows.rows import NormalRow, read_rows
from backend.jobs.hints import grader_hint
from backend.verifiers.specs import parse_spec

ITEM = {
    "messages": [{"role": "user", "content": "May I?"}],
    "compliant": "yes",
    "parts": [{"limit": 3}, "two\nlines"],
    "note": "",
    "image": "",
}


def row(**changes: Any) -> NormalRow:
    return read_rows(BytesIO(json.dumps({**ITEM, **changes}).encode()), name="rows.jsonl")[0]


def check(reference: str, text: str = "{{sample.output_text}}") -> dict[str, Any]:
    return {"type": "string_check", "name": "c", "input": text, "reference": reference, "operation": "eq"}


PYTHON = {"type": "python", "name": "p", "source": "def grade(sample, item):\n    return 1.0\n"}
MULTI = {
    "type": "multi",
    "graders": {"a": check("{{item.compliant}}"), "b": check("{{item.parts.0.limit}} {{item.parts.1}}")},
    "calculate_output": "a + b",
}


@pytest.mark.parametrize(
    ("grader", "hint"),
    [
        (check("{{item.compliant}}"), "yes"),
        (check("{{item.compliant}}", "{{item.compliant}} {{sample.output_text}}"), "yes"),
        (check("it is {{item.parts}}"), '[{"limit": 3}, "two\\nlines"]'),
        (MULTI, "compliant: yes\nparts.0.limit: 3\nparts.1: two\nlines"),
        (PYTHON, 'compliant: yes\nparts: [{"limit": 3}, "two\\nlines"]'),
        (check("{{item.compliant}}", "{{item.messages.0.content}}"), "yes"),
        (check("yes"), None),
        (check("{{item.note}}"), None),
        (check("{{item.absent}}"), None),
        (check("{{item.messages.0.content}}"), None),
        ({"type": "json_schema", "schema": True}, None),
    ],
)
def test_it_is_the_values_that_the_grader_names_without_the_question(grader: dict[str, Any], hint: str | None) -> None:
    assert grader_hint(parse_spec(grader), row()) == hint


def test_it_is_the_rows_answer_where_the_grader_compares_with_that() -> None:
    answered = row(answer=7)
    assert grader_hint(parse_spec({"type": "number"}), answered) == "7"
    assert grader_hint(parse_spec({"type": "number"}), row()) is None


def test_no_bytes_of_images_are_in_it() -> None:
    pixel = "data:image/png;base64," + "A" * 200
    hint = grader_hint(parse_spec(PYTHON), row(picture=pixel))
    assert hint is not None
    assert "AAAA" not in hint
