"""Definitions of tools, told by their shape: objects with a name, what they take, and a description or a schema."""

from collections.abc import Mapping
from typing import Any

from backend.datasets.formats.json_lines import BadLineError
from backend.datasets.rows.turns import decoded

WRITTEN = ("[", "{", "array(")
"""How a text begins that is meant as tools."""
SCHEMAS = ("input_schema", "inputSchema", "arguments")
"""Other names of a tool's parameters, as in Anthropic's API and MCP."""
TAKES = ("parameters", *SCHEMAS)


def decoded_tools(value: Any, *, column: str) -> list[Any]:
    """Return what a value lists, a single one too, with texts of JSON or in Python's notation read.

    Raises BadLineError.
    """
    if isinstance(value, str) and value.lstrip().startswith(WRITTEN):
        value = decoded(value, column=column, code="invalid_tools")
    tools = [*value] if isinstance(value, list | tuple) else [value]
    for index, tool in enumerate(tools):
        if isinstance(tool, str) and tool.lstrip().startswith("{"):
            tools[index] = decoded(tool, column=f"{column}[{index}]", code="invalid_tools")
    return tools


def defines_tools(value: Any) -> bool:
    """Return whether a value is definitions of tools; calls of them have neither a description nor a schema."""
    texts = [part for part in (value if isinstance(value, list | tuple) else [value]) if isinstance(part, str)]
    if texts and not _may_define(" ".join(texts)):
        return False
    try:
        functions = [_function(tool) for tool in decoded_tools(value, column="")]
    except BadLineError:
        return False
    return all(isinstance(function.get("name"), str) for function in functions) and any(map(_is_defined, functions))


def _may_define(text: str) -> bool:
    """Return whether a text has the keys of a definition: most texts have not, and need not be parsed."""
    return "name" in text and any(key in text for key in TAKES) and ("description" in text or "properties" in text)


def _function(tool: Any) -> Mapping[str, Any]:
    function = (tool.get("function") or tool) if isinstance(tool, Mapping) else None
    return function if isinstance(function, Mapping) else {}


def _is_defined(function: Mapping[str, Any]) -> bool:
    takes = [function[key] for key in TAKES if function.get(key) is not None]
    has_schema = any(isinstance(given, Mapping) and isinstance(given.get("properties"), Mapping) for given in takes)
    return has_schema or (bool(takes) and isinstance(function.get("description"), str))
