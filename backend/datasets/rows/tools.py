"""A row's tools and the calls of them, in the form that chat templates take.

That form is OpenAI's chat completions, except that a call's arguments are an object: templates write it as JSON
themselves. Tools and calls are also read from OpenAI's responses API (NeMo Gym), and from text in a cell: JSON, for
tools also Python's notation.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from backend.datasets.formats.json_lines import BadLineError, parse_text
from backend.datasets.rows.definitions import SCHEMAS, WRITTEN, decoded_tools, defines_tools
from backend.datasets.rows.paths import canonical, value_at
from backend.datasets.rows.recognise import REFERENCES, REPLIES, TEMPLATE_OPTIONS, TOOLS
from backend.datasets.rows.shape import Shape

KEPT_NULLS = ("default", "const")
"""Keywords of JSON Schema that may be null. Other nulls are filled in by tables with one type per column."""
ARGUMENTS = ("arguments", "parameters", "input")
"""What OpenAI's API, Llama and Anthropic's API call the arguments of a call."""
CALL_FACTS = ("name", "id", "type", "index")
"""Keys of a call that are no part of what is called with."""
EMPTY_TEXTS = ("", "[]", "{}", "null", "None")
BETWEEN_NAMES = re.compile(r"[,;|\n]")
NAME = re.compile(r"""\s*(["']?)[^\W\d][\w.:-]*\1\s*""")

Tool = dict[str, Any]
Message = dict[str, Any]


def tools_of(item: Mapping[str, Any], *, shape: Shape) -> list[Tool]:
    """Return the row's tools; empty if it has none, or a column of that name holds something else.

    They are in the columns of `tools_columns`. Raises BadLineError, also if two columns differ.
    """
    columns = tools_columns(item, shape=shape)
    read = [_tools(value, column=column) for column, value in columns.items()]
    if any(tools != read[0] for tools in read):
        names = " and ".join(f"'{column:.60}'" for column in columns)
        raise BadLineError("ambiguous_tools", f"has different tools in {names}: put them in one column")
    return read[0] if read else []


def _tools(found: Any, *, column: str) -> list[Tool]:
    """Return the tools of a column; empty if it holds something else. Raises BadLineError, also for names alone."""
    if isinstance(found, str) and not found.lstrip().startswith(WRITTEN):
        found = BETWEEN_NAMES.split(found) if all(map(NAME.fullmatch, BETWEEN_NAMES.split(found))) else None
    tools = decoded_tools(found, column=column)
    if tools and all(isinstance(tool, str) for tool in tools):
        raise BadLineError(
            "invalid_tools",
            f"has names alone in '{column:.60}', not definitions: give each tool as an object with 'name' and "
            "'parameters'",
        )
    if not any(isinstance(tool, Mapping) for tool in tools):
        return []
    return [_tool(tool, where=f"{column}[{index}]") for index, tool in enumerate(tools)]


def tools_columns(item: Mapping[str, Any], *, shape: Shape) -> dict[str, Any]:
    """Return the values of the columns of tools that are not empty, by column or dotted path.

    They are found by their names, and next to the question also by what they hold. A column that is mapped to another
    part of the row, such as the answer, or has the name of an answer, holds no tools.
    """
    mapped = shape.columns().values()
    named = columns_named_tools(item, shape=shape)
    others = {name: value for name, value in item.items() if canonical(name) not in (*TOOLS, *REFERENCES, *REPLIES)}
    return named | {name: value for name, value in others.items() if name not in mapped and defines_tools(value)}


def columns_named_tools(item: Mapping[str, Any], *, shape: Shape) -> dict[str, Any]:
    """Return those of `tools_columns` that are found by their names; they may hold something else."""
    parents = (shape.question.rpartition(".")[0], TEMPLATE_OPTIONS)
    places = [(f"{parent}.", value_at(item, parent)) for parent in parents if parent]
    mapped = shape.columns().values()
    return {
        path + name: value
        for path, place in (*places, ("", item))
        for name, value in (place.items() if isinstance(place, Mapping) else ())
        if canonical(name) in TOOLS and not _is_empty(value) and path + name not in mapped
    }


def note_on_tools(item: Mapping[str, Any], *, shape: Shape) -> str | None:
    """Return a sentence on a column that was taken for tools by what it holds; None if there is none."""
    columns = tools_columns(item, shape=shape)
    column = next((name for name in columns if canonical(name.rpartition(".")[2]) not in TOOLS), None)
    return column and f"What '{column:.60}' holds are definitions of tools, and is read as the row's tools."


def with_calls(message: Message, *, where: str) -> Message:
    """Return a message without empty parts, its tool calls in the form of this module. Raises BadLineError."""
    if message.get("function_call") is not None:
        raise BadLineError("invalid_tool_calls", f"has a 'function_call' at {where}: write it as 'tool_calls'")
    if not _is_empty(message.get("tools")):
        raise BadLineError("invalid_tools", f"has 'tools' at {where}: put them in a column '{TOOLS[0]}' of the row")
    found = message.get("tool_calls")
    # In a table every message has all columns: those that it does not use are null.
    rest = {key: value for key, value in message.items() if value is not None and key != "tool_calls"}
    if _is_empty(found):
        return rest
    calls = parse_text(found, where=f"{where}.tool_calls") if isinstance(found, str) else found
    calls = [calls] if isinstance(calls, Mapping) else calls
    if message.get("role") != "assistant" or not isinstance(calls, list):
        raise BadLineError("invalid_tool_calls", f"needs a list of calls by the role 'assistant' at {where}.tool_calls")
    made = [_call(call, where=f"{where}.tool_calls[{index}]") for index, call in enumerate(calls)]
    return {"content": "", **rest, "tool_calls": made}


def from_responses(items: Iterable[Any]) -> list[Any]:
    """Return items of OpenAI's responses API as chat messages: consecutive calls are one assistant's message."""
    messages: list[Any] = []
    calls: list[dict[str, Any]] | None = None
    for item in items:
        kind = item.get("type") if isinstance(item, dict) and item.get("role") is None else None
        if kind == "function_call":
            if calls is None:
                calls = []
                messages.append({"role": "assistant", "content": "", "tool_calls": calls})
            calls.append({"id": item.get("call_id"), "name": item.get("name"), "arguments": item.get("arguments")})
            continue
        calls = None
        if kind == "function_call_output":
            item = {"role": "tool", "content": item.get("output"), "tool_call_id": item.get("call_id")}
        messages.append(item)
    return messages


def _is_empty(value: Any) -> bool:
    return value in (None, [], {}) or (isinstance(value, str) and value.strip() in EMPTY_TEXTS)


def _tool(value: Any, *, where: str) -> Tool:
    kind = (value.get("type") or "function") if isinstance(value, Mapping) else None
    if kind not in ("function", None):
        raise BadLineError(
            "invalid_tools", f"has a tool of the type {kind!r:.40} at {where}: a chat template takes only functions"
        )
    function = _function(value, where=where, code="invalid_tools")
    function = {"parameters" if key in SCHEMAS else key: part for key, part in function.items()}
    if isinstance(function.get("parameters"), str):
        function["parameters"] = parse_text(function["parameters"], where=f"{where}.parameters")
    function = _without_nulls(function)
    if not isinstance(function.get("parameters", {}), dict):
        raise BadLineError("invalid_tools", f"needs a JSON schema, an object, in the parameters of {where}")
    return {"type": "function", "function": function}


def _call(value: Any, *, where: str) -> dict[str, Any]:
    function = _function(value, where=where, code="invalid_tool_calls")
    given = {key: part for key, part in function.items() if key not in CALL_FACTS and part is not None}
    arguments: Any = next((given.pop(key) for key in ARGUMENTS if key in given), {})
    if given:
        raise BadLineError("invalid_tool_calls", f"has '{next(iter(given)):.40}' at {where}: write it into 'arguments'")
    if isinstance(arguments, str):
        arguments = parse_text(arguments, where=f"{where}.arguments") if arguments.strip() else {}
    if not isinstance(arguments, dict):
        raise BadLineError("invalid_tool_calls", f"needs the arguments of {where} as an object, or as JSON text of one")
    named = {"id": value["id"]} if value.get("id") is not None else {}
    return {**named, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _function(value: Any, *, where: str, code: str) -> dict[str, Any]:
    """Return the function of a tool or a call; the responses API has its keys next to the type."""
    function = value.get("function") or value if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"].strip():
        raise BadLineError(code, f"needs an object with the name of a function at {where}")
    others = ("type", "id") if function is value else ()
    return {key: part for key, part in function.items() if key not in others}


def _without_nulls(value: Any) -> Any:
    """Drop the keys that are null, except those that a JSON schema may set to null."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None or key in KEPT_NULLS}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
