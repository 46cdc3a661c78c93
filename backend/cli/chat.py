"""`rlsd chat MODEL TEXT`: sends a prompt to a model and prints its reply as it is generated."""

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
    model: Annotated[str, typer.Argument(help="Name of a base model, a hub id, or `ft:…`.")],
    text: Annotated[str, typer.Argument(help="The user's message.")],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="temperature:=0, max_tokens:=50, seed:=1, …")
    ] = None,
    body: Annotated[Path | None, typer.Option(help="JSON file with further fields of the request body.")] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Send a message to a model and print its reply as it is generated. (POST /v1/chat/completions)"""
    request: dict[str, Any] = {} if body is None else read_object(body)
    messages = [*request.pop("messages", []), {"role": "user", "content": text}]
    request |= dict(parse_fields(fields or []).values) | {"model": model, "messages": messages, "stream": True}
    with connected(api_url, api_key) as client:
        _print_reply(client, request)


def _print_reply(client: "Client", request: dict[str, Any]) -> None:
    with client.stream("POST", "/v1/chat/completions", json=request) as response:
        for line in response.iter_lines():
            if not line.startswith(DATA) or line == DATA + END:
                continue
            chunk = json.loads(line.removeprefix(DATA))
            if "error" in chunk:
                raise AppError(chunk["error"]["message"], code=chunk["error"]["code"])
            for choice in chunk["choices"]:
                print(choice["delta"].get("content") or "", end="", flush=True)
    print()
