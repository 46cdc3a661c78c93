"""`rlsd FAMILY COMMAND ID… [NAME=VALUE…]` for every route, and `rlsd call METHOD PATH` for any path.

JSON is printed as one object per line, lists page by page with one item per line; other content is copied as received.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO
from urllib.parse import quote

import typer

from backend.cli.fields import Fields, parse_fields, read_object
from backend.cli.remote import ApiKey, ApiUrl, connected, show
from backend.cli.routes import Command, families
from backend.errors import AppError

if TYPE_CHECKING:
    from backend.cli.http_client import Client

PATH_PARAMETER = re.compile(r"\{(\w+)\}")
Body = Annotated[Path | None, typer.Option(help="JSON file with the request body; NAME=VALUE overrides its fields.")]
Output = Annotated[Path | None, typer.Option(help="File for the response; by default standard output.")]


def add_commands(app: typer.Typer, written: dict[str, typer.Typer]) -> None:
    """Add the commands of all families, to the commands that are `written` by hand where a family has some."""
    for family in families():
        commands = written.get(family.name, typer.Typer(no_args_is_help=True))
        for command in family.commands:
            _add(commands, command)
        app.add_typer(commands, name=family.name, help=family.description)
    app.command("call")(call)


def call(
    method: Annotated[str, typer.Argument(help="GET, POST or DELETE.")],
    path: Annotated[str, typer.Argument(help="`/v1/…`; see /docs of the server for all paths.")],
    fields: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...")] = None,
    body: Body = None,
    output: Output = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Call any route of a server. NAME=TEXT, NAME:=JSON, NAME=@FILE and NAME@FILE are sent in the query or body."""
    with connected(api_url, api_key) as client:
        send_request(client, method.upper(), path, parse_fields(fields or []), body=body, output=output)


def _add(app: typer.Typer, command: Command) -> None:
    parameters = PATH_PARAMETER.findall(command.path)
    usage = " ".join([*(name.upper() for name in parameters), *(["[NAME=VALUE]..."] if command.fields else [])])

    def run(
        arguments: Annotated[list[str] | None, typer.Argument(metavar=usage, show_default=False)] = None,
        body: Body = None,
        output: Output = None,
        api_url: ApiUrl = None,
        api_key: ApiKey = "",
    ) -> None:
        given = arguments or []
        if len(given) < len(parameters):
            raise AppError(f"Missing: {', '.join(name.upper() for name in parameters[len(given) :])}.")
        fields = parse_fields(given[len(parameters) :])
        if unknown := sorted({name.partition("[")[0] for name in fields.names} - set(command.fields)):
            # Routes ignore unknown query parameters, so that a mistyped filter would show everything.
            choice = f"the fields are {', '.join(command.fields)}" if command.fields else "it has no fields"
            raise AppError(f"This command has no field '{unknown[0]}': {choice}.")
        if leading_elsewhere := {"", ".", ".."}.intersection(given[: len(parameters)]):
            raise AppError(f"'{leading_elsewhere.pop()}' is no id.")
        values = {name: quote(value, safe="") for name, value in zip(parameters, given, strict=False)}
        with connected(api_url, api_key) as client:
            send_request(client, command.method, command.path.format(**values), fields, body=body, output=output)

    lines = [f"{command.description} ({command.method} {command.path})", ""]
    lines += [f"{name}: {text}" for name, text in command.fields.items()]
    text = "\n".join(lines).replace("[", "\\[")  # a bracket begins markup
    app.command(command.name, help=text, short_help=command.description)(run)


def send_request(
    client: "Client", method: str, path: str, fields: Fields, *, body: Path | None, output: Path | None
) -> None:
    """Send the request and print the response, all pages of a list."""
    options: dict[str, Any] = _body(fields, body) if method == "POST" else {"params": fields.query}
    while True:
        with client.stream(method, path, **options) as response, _output_stream(output) as out:
            if output is not None or not response.headers.get("content-type", "").startswith("application/json"):
                for piece in response.iter_bytes():
                    out.write(piece)
                    out.flush()
                return
            response.read()
            value = response.json()
        if not (isinstance(value, dict) and value.get("object") == "list"):
            show(value)
            return
        for item in value["data"]:
            show(item)
        if not value.get("has_more") or "limit" in fields.names:
            return
        options["params"] = [pair for pair in options["params"] if pair[0] != "after"] + [("after", value["last_id"])]


def _body(fields: Fields, body: Path | None) -> dict[str, Any]:
    if fields.files:
        files = {name: (path.name, path.read_bytes()) for name, path in fields.files.items()}
        return {"data": dict(fields.query), "files": files}
    return {"json": ({} if body is None else read_object(body)) | dict(fields.values)}


@contextmanager
def _output_stream(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise AppError(f"{path} cannot be written ({error.strerror}): choose another file with --output.") from None
