"""JSON completions with the right answer, for verifiers that read JSON: by their paths or their schema. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from backend.verifiers import specs, templates
from backend.verifiers.reading import graders_of, render_from_row
from backend.verifiers.specs import Spec

MAX_DEPTH = 6
_BLANKS: Mapping[str, Any] = {"string": "text", "integer": 0, "number": 0, "boolean": True, "null": None, "array": []}


def json_completion(spec: Spec, *, answer: str, item: Mapping[str, object]) -> str:
    """Return JSON with the answer where the verifier looks for it, or `{"answer": …}` if that is unknown."""
    schema = next((part.json_schema for part in graders_of(spec) if isinstance(part, specs.JsonSchema)), None)
    from_schema = _by_schema(schema, answer=answer) if isinstance(schema, dict) else {}
    document: Any = from_schema if isinstance(from_schema, dict) else {}
    expected = _paths(spec, answer=answer, item=item)
    if not expected and not isinstance(from_schema, dict):
        return json.dumps(from_schema, ensure_ascii=False)
    if not expected and not document:
        expected = {("answer",): answer}
    for path, text in expected.items():
        _set_path(document, path, text)
    return json.dumps(document, ensure_ascii=False)


def _paths(spec: Spec, *, answer: str, item: Mapping[str, object]) -> dict[tuple[str, ...], str]:
    """Map each path in the output's JSON to the text it is compared with."""
    expected = {}
    for part in graders_of(spec):
        reference = part.templates.get("reference")
        for path in templates.parse(part.templates.get("input", "")).paths:
            if path[:2] == ("sample", "output_json") and len(path) > 2:
                text = None if reference is None else render_from_row(reference, item=item)
                expected[path[2:]] = answer if text is None else text
    return expected


def _set_path(document: dict[str, Any], path: tuple[str, ...], text: str) -> None:
    node = document
    for name in path[:-1]:
        if not isinstance(node.get(name), dict):
            node[name] = {}
        node = node[name]
    node[path[-1]] = text


def _by_schema(schema: Mapping[str, Any], *, answer: str, depth: int = 0) -> Any:
    """Build a minimal value for the schema, with the answer in its text or number fields."""
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    if schema.get("enum"):
        return answer if answer in schema["enum"] else schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        return _object(schema, answer=answer, depth=depth)
    if kind == "string":
        return answer
    number = _number(answer)
    if kind in ("number", "integer"):
        least = schema.get("minimum", 0)
        return number if number is not None and (kind == "number" or isinstance(number, int)) else least
    return _BLANKS.get(str(kind))


def _object(schema: Mapping[str, Any], *, answer: str, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or depth > MAX_DEPTH:
        return {}
    required = schema.get("required") or list(properties)
    return {
        name: _by_schema(inner, answer=answer, depth=depth + 1)
        for name in required
        if isinstance(inner := properties.get(name, {}), dict)
    }


def _number(text: str) -> int | float | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
