"""Every route of the API has a command of `rlsd`, with the same fields."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from backend.app import app as api_app
from backend.cli.fields import parse_fields
from backend.cli.main import app
from backend.cli.routes import Command, families
from backend.errors import AppError
from backend.generators.commands import routes

DOCUMENT = api_app.openapi()


def route_of(method: str, path: str) -> tuple[str, str]:
    return method.upper(), re.sub(r"\{\w+\}", "{}", path)


OPERATIONS: dict[tuple[str, str], dict[str, Any]] = {
    route_of(method, path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
BY_HAND = {
    route_of(route.command.method, route.command.path): route.words for route in routes(DOCUMENT) if route.by_hand
}
COMMANDS = [(family.name, command) for family in families() for command in family.commands]


def commands_of(group: Any) -> set[str]:
    return {
        name if not hasattr(command, "commands") else f"{name} {subcommand}"
        for name, command in group.commands.items()
        for subcommand in getattr(command, "commands", [""])
    }


def test_every_route_has_one_command() -> None:
    in_table = [route_of(command.method, command.path) for _, command in COMMANDS]
    assert len(set(in_table)) == len(in_table)
    assert set(in_table).isdisjoint(BY_HAND)
    assert set(in_table) | set(BY_HAND) == set(OPERATIONS)
    commands = commands_of(typer.main.get_command(app))
    generated = [f"{family} {command.name}" for family, command in COMMANDS]
    assert len(set(generated)) == len(generated)
    assert set(generated).isdisjoint(BY_HAND.values())
    assert {*generated, *BY_HAND.values()} <= commands


@pytest.mark.parametrize(("family", "command"), COMMANDS, ids=[f"{family} {each.name}" for family, each in COMMANDS])
def test_command_has_the_fields_of_its_route(family: str, command: Command) -> None:
    operation = OPERATIONS[route_of(command.method, command.path)]
    fields = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        while "$ref" in schema:
            schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        fields |= set(schema["properties"])
    assert set(command.fields) == fields


def test_documentation_lists_every_route_with_its_command() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "commands.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \| .+ \| `rlsd ([^`]+)` \|(.*)\|$", page, re.MULTILINE)
    documented = {(*route_of(method, path), command) for method, path, command, _ in rows}
    assert documented == {(*route_of(each.method, each.path), f"{family} {each.name}") for family, each in COMMANDS} | {
        (*route, command) for route, command in BY_HAND.items()
    }
    fields = {command: re.findall(r"`(\w+)`", cell) for _, _, command, cell in rows}
    assert all(fields[f"{family} {each.name}"] == list(each.fields) for family, each in COMMANDS)


def test_parse_fields_reads_text_json_and_files(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"type": "regex"}')
    path = tmp_path / "spec.json"
    fields = parse_fields(["url=https://a.b/?c=d", "rows:=3", f"grader:=@{path}", f"text=@{path}", f"data@{path}"])
    assert fields.values == [
        ("url", "https://a.b/?c=d"),
        ("rows", 3),
        ("grader", {"type": "regex"}),
        ("text", '{"type": "regex"}'),
    ]
    assert fields.files == {"data": path}
    assert parse_fields(["job=a", "job=b", "mixed:=true"]).query == [("job", "a"), ("job", "b"), ("mixed", "true")]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("alone", "not a field"),
        ("a:={", "The value of a is not valid JSON"),
        ("a=@none", "no file none"),
        ("a@none", "no"),
    ],
)
def test_parse_fields_refuses_invalid_fields(field: str, message: str) -> None:
    with pytest.raises(AppError, match=message):
        parse_fields([field])
