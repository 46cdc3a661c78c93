"""The types of responses are those that the UI imports, and what they consist of."""

from pathlib import Path
from typing import Any

import pytest

from backend.generators.types import types_module

CHECK = {
    "description": "A check.",
    "properties": {
        "id": {"type": "string"},
        "error": {"anyOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]},
        "result": {"type": "object", "additionalProperties": True},
        "scores": {"type": "object", "additionalProperties": {"type": "number"}},
        "kind": {"const": "check"},
    },
    "required": ["id", "error", "result", "scores"],
}
SCHEMAS = {
    "Check": CHECK,
    "Problem": {"properties": {"message": {"type": "string", "description": "A sentence."}}, "required": ["message"]},
    "Page_Check_": {
        "properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/Check"}}},
        "required": ["data"],
    },
    "Unused": {"properties": {}},
}


PATHS = {
    "/v1/checks/{check_id}": {
        "get": {
            "operationId": "list_checks_v1_checks__check_id__get",
            "parameters": [
                {"name": "check_id", "in": "path", "required": True, "schema": {"type": "string"}},
                {"name": "kind", "in": "query", "required": True, "schema": {"type": "string"}},
                {"name": "limit", "in": "query", "description": "At most.", "schema": {"type": "integer"}},
            ],
        },
        "delete": {"operationId": "delete_v1_checks__check_id__delete"},
    }
}


def written(tmp_path: Path, imported: str) -> str:
    (tmp_path / "page.py").write_text(f"from frontend.api.types import {imported}\n")
    document: dict[str, Any] = {"components": {"schemas": SCHEMAS}, "paths": PATHS}
    return types_module(document, frontend=tmp_path)


def test_a_type_follows_its_parts_and_unused_ones_are_left_out(tmp_path: Path) -> None:
    text = written(tmp_path, "Check, Json")
    module: dict[str, Any] = {}
    exec(text, module)
    assert module["Check"].__required_keys__ == {"id", "error", "result", "scores"}
    assert module["Check"].__optional_keys__ == {"kind"}
    assert text.index("class Problem(TypedDict)") < text.index("class Check(TypedDict)")
    assert "    error: Problem | None\n    result: Json\n    scores: dict[str, float]\n" in text
    assert '    message: str\n    """A sentence."""\n' in text
    assert "Unused" not in module


def test_all_pages_are_one_generic_type(tmp_path: Path) -> None:
    text = written(tmp_path, "Page")
    assert "class Page(TypedDict, Generic[Item]):\n    data: list[Item]\n" in text


def test_a_query_is_a_type_named_after_its_operation(tmp_path: Path) -> None:
    text = written(tmp_path, "ListChecksQuery")
    assert '    kind: str\n    limit: NotRequired[int]\n    """At most."""\n' in text
    assert "check_id:" not in text


def test_a_type_that_the_api_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="Chek"):
        written(tmp_path, "Chek")
