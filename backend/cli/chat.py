"""`rlsd chat MODEL TEXT`: asks a model and prints its words as they come."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.fields import parse_fields, read_object
from backend.cli.remote import ApiKey, ApiUrl, connected
from backend.errors import AppError

if TYPE_CHECKING:
    from backend.cli.http_client import Client

DATA = "data: "
END = "[DONE]"


def chat(
    model: Annotated[str, typer.Argument(help="A base model's name, a hub id, or `ft:…`.")],
    text: Annotated[str, typer.Argument(help="What the user says.")],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="temperature:=0, max_tokens:=50, seed:=1, …")
    ] = None,
    body: Annotated[Path | None, typer.Option(help="A JSON file with more of the request's body.")] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Ask a model; what it writes is printed while it writes. (POST /v1/chat/completions)"""
    asked: dict[str, Any] = {} if body is None else read_object(body)
    said = [*asked.pop("messages", []), {"role": "user", "content": text}]
    asked |= dict(parse_fields(fields or []).values) | {"model": model, "messages": said, "stream": True}
    with connected(api_url, api_key) as client:
        _print_words(client, asked)


def _print_words(client: "Client", asked: dict[str, Any]) -> None:
    with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        for line in answer.iter_lines():
            if not line.startswith(DATA) or line == DATA + END:
                continue
            chunk = json.loads(line.removeprefix(DATA))
            if "error" in chunk:
                raise AppError(chunk["error"]["message"], code=chunk["error"]["code"])
            for choice in chunk["choices"]:
                print(choice["delta"].get("content") or "", end="", flush=True)
    print()
