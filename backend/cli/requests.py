"""`rlsd FAMILY COMMAND ID… [NAME=VALUE…]` for every route, and `rlsd call METHOD PATH` for whatever there will be.

JSON is printed as one object a line, lists an item a line and page by page; anything else goes out as it comes.
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
from backend.cli.routes import FAMILIES, ROUTES, Command
from backend.errors import AppError

if TYPE_CHECKING:
    from backend.cli.http_client import Client

PLACE = re.compile(r"\{(\w+)\}")
Body = Annotated[Path | None, typer.Option(help="A JSON file with the body; NAME=VALUE replace what it says.")]
Output = Annotated[Path | None, typer.Option(help="Where the answer goes; by default to standard output.")]


def add_commands(app: typer.Typer, known: dict[str, typer.Typer]) -> None:
    """All families, also those that have commands of their own already."""
    for family, about in FAMILIES.items():
        if family not in known:
            known[family] = typer.Typer(no_args_is_help=True, help=about)
            app.add_typer(known[family], name=family)
        for command in ROUTES[family]:
            _add(known[family], command)
    app.command("call")(call)


def call(
    method: Annotated[str, typer.Argument(help="GET, POST or DELETE.")],
    path: Annotated[str, typer.Argument(help="`/v1/…`; all are under /docs of the server.")],
    fields: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...")] = None,
    body: Body = None,
    output: Output = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Ask a server anything: NAME=TEXT, NAME:=JSON, NAME=@FILE and NAME@FILE go in the query or the body."""
    with connected(api_url, api_key) as client:
        ask(client, method.upper(), path, parse_fields(fields or []), body=body, output=output)


def _add(app: typer.Typer, command: Command) -> None:
    places, allowed = PLACE.findall(command.path), command.fields.split()
    usage = " ".join([*(place.upper() for place in places), *(["[NAME=VALUE]..."] if allowed else [])])

    def run(
        given: Annotated[list[str] | None, typer.Argument(metavar=usage, show_default=False)] = None,
        body: Body = None,
        output: Output = None,
        api_url: ApiUrl = None,
        api_key: ApiKey = "",
    ) -> None:
        named = given or []
        if len(named) < len(places):
            raise AppError(f"Missing: {', '.join(place.upper() for place in places[len(named) :])}.")
        fields = parse_fields(named[len(places) :])
        if unknown := sorted({name.partition("[")[0] for name in fields.names} - set(allowed)):
            # The query of a route may hold anything unread; a mistyped filter would then show everything.
            choice = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise AppError(f"There is no field '{unknown[0]}' here: {choice}.")
        values = {place: quote(value, safe="") for place, value in zip(places, named, strict=False)}
        with connected(api_url, api_key) as client:
            ask(client, command.method, command.path.format(**values), fields, body=body, output=output)

    told = f"{command.about} ({command.method} {command.path})"
    told += f" Fields: {', '.join(allowed)}." if allowed else ""
    app.command(command.name, help=told, short_help=command.about)(run)


def ask(client: "Client", method: str, path: str, fields: Fields, *, body: Path | None, output: Path | None) -> None:
    """Send it, and show what comes back."""
    sent: dict[str, Any] = _body(fields, body) if method == "POST" else {"params": fields.query}
    while True:
        with client.stream(method, path, **sent) as answer, _out(output) as out:
            if output is not None or not answer.headers.get("content-type", "").startswith("application/json"):
                for piece in answer.iter_bytes():
                    out.write(piece)
                    out.flush()
                return
            answer.read()
            shown = answer.json()
        if not (isinstance(shown, dict) and shown.get("object") == "list"):
            show(shown)
            return
        for item in shown["data"]:
            show(item)
        if not shown.get("has_more") or "limit" in fields.names:
            return
        sent["params"] = [pair for pair in sent["params"] if pair[0] != "after"] + [("after", shown["last_id"])]


def _body(fields: Fields, body: Path | None) -> dict[str, Any]:
    if fields.files:
        files = {name: (path.name, path.read_bytes()) for name, path in fields.files.items()}
        return {"data": dict(fields.query), "files": files}
    return {"json": ({} if body is None else read_object(body)) | dict(fields.values)}


@contextmanager
def _out(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise AppError(f"{path} cannot be written ({error.strerror}): choose another place with --output.") from None
