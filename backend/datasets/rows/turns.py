"""Conversations as other systems write them: messages as text in a cell, and the turns of ShareGPT."""

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from backend.datasets.formats.json_lines import BadLineError, raw_row

MESSAGES_TEXT = re.compile(r"""\s*\[\s*\{\s*(['"])(?:role|content|from|value)\1\s*:""")
"""The beginning of a list of messages, as JSON or as Python writes it."""
SPEAKERS = {"human": "user", "gpt": "assistant", "observation": "tool"}
"""Speakers of a turn whose role has another name."""


def as_messages(value: Any, *, column: str) -> Any:
    """Return a conversation in the form of chat messages, and any other value unchanged. Raises BadLineError."""
    if isinstance(value, str) and MESSAGES_TEXT.match(value):
        value = _decoded(value, column=column)
    if _is_turns(value):
        return [{"role": SPEAKERS.get(str(turn["from"]), turn["from"]), "content": turn["value"]} for turn in value]
    return value


def note_on(value: Any, *, column: str) -> str | None:
    """Return a sentence on what `as_messages` changes about a value; None if it leaves it as it is."""
    if isinstance(value, str) and MESSAGES_TEXT.match(value):
        return f"The texts in '{column:.60}' are lists of messages, and are read as messages."
    if _is_turns(value):
        return f"The turns in '{column:.60}' are read as messages: `from` is the role, `value` the content."
    return None


def ends_with_assistant(value: Any) -> bool:
    """Return whether the value is a conversation whose last turn is the assistant's."""
    try:
        messages = as_messages(value, column="")
    except BadLineError:
        return False
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, Mapping) and last.get("role") == "assistant"


def _is_turns(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, Mapping) and {"from", "value"} <= turn.keys() for turn in value)
    )


def _decoded(text: str, *, column: str) -> Any:
    """Parse a list of messages: JSON, or a literal of Python. Both must be what a row of JSON may hold."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return raw_row({column: parse(text.strip())}, line=1).item[column]
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    raise BadLineError(
        "invalid_messages",
        f"has a text in '{column:.60}' that begins like a list of messages, but is neither JSON nor Python's notation",
    )
