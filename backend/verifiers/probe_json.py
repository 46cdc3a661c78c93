"""The right answer as JSON, for verifiers that read JSON: by the paths they look up, else by their schema. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from backend.verifiers import specs, templates
from backend.verifiers.reading import parts, rendered
from backend.verifiers.specs import Spec

MAX_DEPTH = 6
_BLANKS: Mapping[str, Any] = {"string": "text", "integer": 0, "number": 0, "boolean": True, "null": None, "array": []}


def json_completion(spec: Spec, *, answer: str, item: Mapping[str, object]) -> str:
    """A JSON text that holds the answer where the verifier looks for it; `{"answer": …}` where nothing says."""
    schema = next((part.json_schema for part in parts(spec) if isinstance(part, specs.JsonSchema)), None)
    found = _by_schema(schema, answer=answer) if isinstance(schema, dict) else {}
    whole: Any = found if isinstance(found, dict) else {}
    wanted = _paths(spec, answer=answer, item=item)
    if not wanted and not isinstance(found, dict):
        return json.dumps(found, ensure_ascii=False)
    if not wanted and not whole:
        wanted = {("answer",): answer}
    for path, text in wanted.items():
        _place(whole, path, text)
    return json.dumps(whole, ensure_ascii=False)


def _paths(spec: Spec, *, answer: str, item: Mapping[str, object]) -> dict[tuple[str, ...], str]:
    """Path in the output's JSON -> what it is compared with."""
    wanted = {}
    for part in parts(spec):
        reference = part.templates.get("reference")
        for path in templates.parse(part.templates.get("input", "")).paths:
            if path[:2] == ("sample", "output_json") and len(path) > 2:
                text = None if reference is None else rendered(reference, item=item)
                wanted[path[2:]] = answer if text is None else text
    return wanted


def _place(whole: dict[str, Any], path: tuple[str, ...], text: str) -> None:
    here = whole
    for name in path[:-1]:
        if not isinstance(here.get(name), dict):
            here[name] = {}
        here = here[name]
    here[path[-1]] = text


def _by_schema(schema: Mapping[str, Any], *, answer: str, depth: int = 0) -> Any:
    """The least that such a schema admits, with the answer in its first text or number."""
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
