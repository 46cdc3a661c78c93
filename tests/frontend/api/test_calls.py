"""Each call of the client is one of the API's operations, and is read as the type of its response."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.app import app
from backend.generators.types import type_of
from tests.processes import ROOT

CALLS = {"self.call", "self.get_json", "self.get_bytes", "self.stream_events", "self._send"}
MODULES = sorted((ROOT / "frontend" / "api").glob("*.py"))


def calls(path: Path) -> Iterator[tuple[str, str, str, tuple[str, str | None] | None]]:
    """Yield line, method, path with `{}` for each part that varies, and the type as which the response is read."""
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        assigned = {
            node.targets[0].id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        read_as = {
            id(node): (cast.args[0].value, part)
            for cast in ast.walk(function)
            if isinstance(cast, ast.Call)
            and ast.unparse(cast.func) == "cast"
            and isinstance(cast.args[0], ast.Constant)
            for node, part in [taken(cast.args[1])]
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
                method, route = node.args if len(node.args) == 2 else (ast.Constant("GET"), node.args[0])
                route = assigned.get(route.id, route) if isinstance(route, ast.Name) else route
                if isinstance(method, ast.Constant):
                    yield f"{path.name}:{node.lineno}", str(method.value), text(route, path), read_as.get(id(node))


def taken(value: ast.expr) -> tuple[ast.expr, str | None]:
    """Return the call, and the field of its response that is taken."""
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        return value.value, str(value.slice.value)
    return value, None


def text(route: ast.expr, path: Path) -> str:
    """Return the path, with `{}` for all that is no constant of its module."""
    module = importlib.import_module(f"frontend.api.{path.stem}")
    match route:
        case ast.JoinedStr():
            return "".join(text(part, path) for part in route.values)
        case ast.FormattedValue():
            return text(route.value, path)
        case ast.Constant():
            return str(route.value)
        case ast.Name() if isinstance(getattr(module, route.id, None), str):
            return str(getattr(module, route.id))
        case _:
            return "{}"


CASES = [call for path in MODULES for call in calls(path) if call[2].startswith("/v1")]


def operations(method: str, route: str) -> list[dict[str, Any]]:
    """Return the operation of the call, or those that it can reach if a part that varies is a word of the path."""
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    word = re.escape(route).replace(r"\{\}", "[^/]+")
    exact = [path for path in paths if re.sub(r"{[^}]+}", "{}", path) == route]
    reached = exact or [path for path in paths if re.fullmatch(word, path)]
    return [paths[path][method.lower()] for path in reached if method.lower() in paths[path]]


def response_type(operation: dict[str, Any], part: str | None) -> str:
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    if part is not None:
        components = app.openapi()["components"]["schemas"]
        schema = components[schema["$ref"].rpartition("/")[2]]["properties"][part]
    return type_of(schema)


def test_the_calls_are_found() -> None:
    assert len(CASES) > 80
    assert len([case for case in CASES if case[3] is not None]) > 50


@pytest.mark.parametrize(("line", "method", "route", "read_as"), CASES, ids=[case[0] for case in CASES])
def test_a_call_is_an_operation_of_the_api_and_its_response_has_that_type(
    line: str, method: str, route: str, read_as: tuple[str, str | None] | None
) -> None:
    reached = operations(method, route)
    assert reached, f"{line}: the API has no {method} {route}"
    if read_as is not None:
        assert read_as[0] in {response_type(each, read_as[1]) for each in reached}
