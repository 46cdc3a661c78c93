"""The command of each route: its name from the path, its arguments, fields and help from the OpenAPI document.

Commands that do more than call their route are written by hand in `backend/cli`; here they only have a name.
"""

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from backend.cli.routes import Command, Family

BY_HAND = {
    "POST /v1/files": "upload",
    "POST /v1/files/preview": "preview",
    "POST /v1/fine_tuning/jobs": "create",
    "POST /v1/fine_tuning/jobs/estimate": "estimate",
    "POST /v1/chat/completions": "",  # `rlsd chat`
    "POST /v1/keys": "create",
    "GET /v1/keys": "list",
    "DELETE /v1/keys/{key_id}": "revoke",
    "POST /v1/projects/{project_id}/keys": "create",
}
NAMES = BY_HAND | {
    "GET /v1/files/{file_id}/images/{sha256}": "image",
    "POST /v1/files/{file_id}/versions": "change",
    "POST /v1/uploads/{upload_id}/parts": "add-part",
    "POST /v1/fine_tuning/jobs/{job_id}/exports": "make-export",
    "GET /v1/fine_tuning/jobs/{job_id}/exports/{export_id}": "show-export",
    "GET /v1/fine_tuning/jobs/{job_id}/exports/{export_id}/content": "export-content",
    "POST /v1/verifiers/{verifier_id}/versions": "change",
    "GET /v1/compared-jobs/result": "jobs-result",
    "GET /v1/compared-jobs/curves": "jobs-curves",
    "POST /v1/members": "add",
    "DELETE /v1/members/{email}": "remove",
    "GET /healthz": "health",
    "GET /readyz": "ready",
}
"""Names that do not follow from the path."""
OF_A_COLLECTION = {"GET": "list", "POST": "create"}
OF_AN_ITEM = {"GET": "show", "POST": "change", "DELETE": "delete"}
PAGING = ("after", "limit", "order")
KINDS = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "object": "JSON object",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the API and its command, `rlsd FAMILY NAME`."""

    family: str
    command: Command
    by_hand: bool

    @property
    def words(self) -> str:
        return f"{self.family} {self.command.name}".strip()


def command_table(document: dict[str, Any]) -> str:
    """Return the content of `backend/cli/commands.json`."""
    generated = [route for route in routes(document) if not route.by_hand]
    families = [
        Family(tag["name"], tag["description"], commands)
        for tag in document["tags"]
        if (commands := tuple(route.command for route in generated if route.family == tag["name"]))
    ]
    return json.dumps([asdict(family) for family in families], indent=1, ensure_ascii=False) + "\n"


def routes(document: dict[str, Any]) -> list[Route]:
    """Return all routes. Raises ValueError for one without docstring, and if two have the same generated command."""
    found = [
        _route(f"{method.upper()} {path}", operation, document=document)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    times = Counter(route.words for route in found if not route.by_hand)
    if ambiguous := [words for words, count in times.items() if count > 1]:
        raise ValueError(f"several routes have these commands, so that one needs a name in NAMES: {ambiguous}")
    return found


def _route(key: str, operation: dict[str, Any], *, document: dict[str, Any]) -> Route:
    method, path = key.split()
    family = operation["tags"][0]
    if "description" not in operation:
        raise ValueError(f"{key} has no docstring, which is also the help of its command")
    fields = _fields(operation, document=document)
    command = Command(
        name=NAMES[key] if key in NAMES else _name(method, path, family=family),
        method=method,
        path=path.replace("_id}", "}"),
        description=first_sentence(operation["description"]),
        fields={name: fields[name] for name in sorted(fields, key=PAGING.__contains__)},
    )
    return Route(family, command, by_hand=key in BY_HAND)


def _name(method: str, path: str, *, family: str) -> str:
    """Return `list` for `GET …/FAMILY`, `show` for `GET …/FAMILY/{id}`, otherwise what follows in the path."""
    *_, collection, last = path.split("/")
    if last == family:
        return OF_A_COLLECTION[method]
    if not last.startswith("{"):
        return last
    if collection == family:
        return OF_AN_ITEM[method]
    item = last.strip("{}").removesuffix("_id")
    return item if method == "GET" else f"{OF_AN_ITEM[method]}-{item}"


def first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0].replace("\n", " ")


def _fields(operation: dict[str, Any], *, document: dict[str, Any]) -> dict[str, str]:
    """Return the fields of the query or body, with help."""
    fields = {
        each["name"]: _help(
            {**each["schema"], "description": each.get("description")},
            required=each.get("required", False),
            document=document,
        )
        for each in operation.get("parameters", [])
        if each["in"] == "query"
    }
    for content in operation.get("requestBody", {}).get("content", {}).values():
        body = _resolved(content["schema"], document=document)
        for name, schema in body["properties"].items():
            fields[name] = _help(schema, required=name in body.get("required", ()), document=document)
    return fields


def _help(schema: dict[str, Any], *, required: bool, document: dict[str, Any]) -> str:
    facts = [_kind(schema, document=document)]
    default = schema.get("default")
    if required:
        facts.append("required")
    elif default is not None:
        facts.append(f"default {default if isinstance(default, str) else json.dumps(default)}")
    return ". ".join([", ".join(facts), *filter(None, [schema.get("description")])])


def _kind(schema: dict[str, Any], *, document: dict[str, Any]) -> str:
    """Return what to write for a value: `text`, `one|two`, `list of integer`."""
    match _resolved(schema, document=document):
        case {"anyOf": options}:
            kinds = (_kind(each, document=document) for each in options if each != {"type": "null"})
            return " or ".join(dict.fromkeys(kinds))
        case {"enum": values}:
            return "|".join(values)
        case {"type": "array", "items": items}:
            return f"list of {_kind(items, document=document)}"
        case {"format": "binary"}:
            return "file"
        case {"type": kind}:
            return KINDS[kind]
    return "JSON"


def _resolved(schema: dict[str, Any], *, document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema
