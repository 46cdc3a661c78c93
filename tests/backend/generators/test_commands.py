"""The name, the fields and the help of a command follow from its route."""

from typing import Any

import pytest

from backend.cli.routes import Command
from backend.generators.commands import routes


def document_of(*keys: str, **operation: Any) -> dict[str, Any]:
    """A document with these routes, `GET /v1/files`, which all have the same operation."""
    paths: dict[str, Any] = {}
    for key in keys:
        method, path = key.split()
        paths.setdefault(path, {})[method.lower()] = {"tags": ["files"], "description": "Do it."} | operation
    order = {"type": "string", "enum": ["asc", "desc"]}
    return {"paths": paths, "components": {"schemas": {"Order": order}}}


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("GET /v1/files", "files list"),
        ("GET /v1/files/{file_id}", "files show"),
        ("POST /v1/files/{file_id}", "files change"),
        ("DELETE /v1/files/{file_id}", "files delete"),
        ("POST /v1/files/{file_id}/split", "files split"),
        ("GET /v1/files/{file_id}/parts/{part_id}", "files part"),
        ("DELETE /v1/files/{file_id}/parts/{part_id}", "files delete-part"),
        ("POST /v1/uploads/{upload_id}/parts", "files add-part"),
    ],
)
def test_a_command_is_named_after_its_path_unless_another_name_is_given(route: str, words: str) -> None:
    [found] = routes(document_of(route))
    assert (found.words, found.by_hand) == (words, False)


def test_fields_are_those_of_query_and_body_with_paging_last() -> None:
    parameters = [
        {"in": "path", "name": "file_id", "schema": {"type": "string"}},
        {"in": "query", "name": "order", "schema": {"$ref": "#/components/schemas/Order", "default": "asc"}},
        {
            "in": "query",
            "name": "number",
            "schema": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
            "description": "Only these.",
        },
    ]
    body = {"properties": {"share": {"type": "number"}}, "required": ["share"]}
    [found] = routes(
        document_of(
            "POST /v1/files/{file_id}/split",
            parameters=parameters,
            requestBody={"content": {"application/json": {"schema": body}}},
            description="Split a file\ninto two. Both are new.",
        )
    )
    assert found.command == Command(
        name="split",
        method="POST",
        path="/v1/files/{file}/split",
        description="Split a file into two.",
        fields={
            "number": "list of integer. Only these.",
            "share": "number, required",
            "order": "asc|desc, default asc",
        },
    )
    assert list(found.command.fields) == ["number", "share", "order"]


def test_two_routes_with_the_same_command_are_refused() -> None:
    with pytest.raises(ValueError, match="files split"):
        routes(document_of("GET /v1/files/{file_id}/split", "POST /v1/files/{file_id}/split"))


def test_a_route_without_help_is_refused() -> None:
    document = document_of("GET /v1/files")
    del document["paths"]["/v1/files"]["get"]["description"]
    with pytest.raises(ValueError, match="GET /v1/files has no docstring"):
        routes(document)
