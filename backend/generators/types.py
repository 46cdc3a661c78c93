"""`frontend/api/types.py`: objects of responses, and queries, as TypedDicts: those that the UI imports, with parts."""

import ast
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODULE = "frontend.api.types"
PAGE = re.compile(r"Page_(\w+)_")
HEAD = '''"""The API's objects. Generated from its OpenAPI document: `make generated` writes those that are imported."""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

Json = dict[str, Any]
Item = TypeVar("Item")
'''
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None", "object": "Json"}


def types_module(document: dict[str, Any], *, frontend: Path) -> str:
    """Return the formatted module."""
    schemas = document["components"]["schemas"]
    known = schemas | {"Page": _generic_page(schemas)} | dict(_queries(document))
    written: dict[str, str] = {}
    for name in sorted({name for path in frontend.rglob("*.py") for name in _imported(path)} - {"Json"}):
        _write(name, known, written=written)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(frontend / "api" / "types.py"), "-"]
    text = "\n\n".join([HEAD, *written.values()])
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def _imported(path: Path) -> Iterator[str]:
    """Yield what a file imports from the generated module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == MODULE:
            yield from (alias.name for alias in node.names)


def _generic_page(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that all pages of lists share."""
    page: dict[str, Any] = next(schema for name, schema in schemas.items() if PAGE.fullmatch(name))
    return page | {"properties": page["properties"] | {"data": {"type": "array", "items": {"$ref": "Item"}}}}


def _queries(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the query of each operation as a schema: that of `list_jobs` is `ListJobsQuery`."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            words = operation["operationId"].removesuffix(re.sub(r"\W", "_", f"{path}_{method}")).split("_")
            query = [each for each in operation.get("parameters", []) if each["in"] == "query"]
            fields = {each["name"]: {**each["schema"], "description": each.get("description")} for each in query}
            yield (
                "".join(map(str.capitalize, words)) + "Query",
                {
                    "description": f"The query of `{method.upper()} {path}`.",
                    "properties": fields,
                    "required": [each["name"] for each in query if each.get("required")],
                },
            )


def _write(name: str, schemas: dict[str, Any], *, written: dict[str, str]) -> None:
    """Add the definition of a schema, after those that it refers to. Raises KeyError if there is none."""
    schema = schemas[name]
    for reference in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(schema)):
        if reference not in written:
            _write(reference, schemas, written=written)
    written[name] = _definition(name, schema)


def _definition(name: str, schema: dict[str, Any]) -> str:
    text = schema.get("description", "")
    end = "\n" if "\n" in text else ""
    note = f'"""{text}{end}"""\n' if text else ""
    if "properties" not in schema:
        return f"{name} = {type_of(schema)}\n{note}"
    bases = "TypedDict, Generic[Item]" if name == "Page" else "TypedDict"
    required = schema.get("required", ())
    fields = "".join(
        _field(field, type_of(each), required=field in required, note=each.get("description"))
        for field, each in schema["properties"].items()
    )
    return f"class {name}({bases}):\n" + textwrap.indent(note + ("\n" if note else "") + fields, "    ")


def _field(name: str, type_: str, *, required: bool, note: str | None) -> str:
    line = f"{name}: {type_ if required else f'NotRequired[{type_}]'}\n"
    return line if note is None else line + textwrap.fill(f'"""{note}"""', 112) + "\n"


def type_of(schema: dict[str, Any]) -> str:
    """Return the type of a value with this schema."""
    match schema:
        case {"$ref": reference}:
            return PAGE.sub(r"Page[\1]", reference.rpartition("/")[2])
        case {"anyOf": options}:
            return " | ".join(dict.fromkeys(type_of(each) for each in options))
        case {"const": value}:
            return f"Literal[{json.dumps(value)}]"
        case {"enum": values}:
            return f"Literal[{', '.join(map(json.dumps, values))}]"
        case {"type": "array", "items": items}:
            return f"list[{type_of(items)}]"
        case {"type": "object", "additionalProperties": dict() as values}:
            return f"dict[str, {type_of(values)}]"
        case {"type": kind}:
            return PLAIN[kind]
    return "Any"
