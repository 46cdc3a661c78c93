"""Conversations as other systems write them: messages as text in a cell, ShareGPT's turns, Alpaca's history."""

import ast
import re
from collections.abc import Mapping
from typing import Any

from backend.datasets.formats.json_lines import BadLineError, parse_text, raw_row

OBJECTS_TEXT = re.compile(r"""\s*(?:array\()?\s*(\[?)\s*\{\s*(['"])\w+\2\s*:""")
"""The beginning of an object or a list of them, as JSON, Python or NumPy writes it."""
KEY = re.compile(r"""(['"])(role|content|from|value)\1\s*:""")
MESSAGE_KEYS = ({"role", "content"}, {"from", "value"})
MAX_PYTHON_CHARACTERS = 200_000
"""Longest text that is read in Python's notation: its parser takes seconds for a megabyte of brackets."""
_LITERAL = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(\s+(?=['"]))?""", re.S)
"""A text in Python's notation. NumPy writes no comma between two of a list, and Python would join them."""
SPEAKERS = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "observation": "tool",
    "function_response": "tool",
}
"""Speakers of a turn whose role has another name."""
CALLER = "function_call"
"""The speaker of a turn that calls tools: its value is a call, or a list of them."""
PAIR = 2
PLACEHOLDER = "<image>"
"""How a text marks the place of an image."""


def as_messages(value: Any, *, column: str) -> Any:
    """Return a conversation in the form of chat messages, and any other value unchanged. Raises BadLineError.

    A list of one conversation, as BFCL has it, is that conversation.
    """
    if _is_written(value):
        value = decoded(value, column=column, code="invalid_messages")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) and all(map(_is_message, value[0])):
        value = value[0]
    if _is_message(value):
        value = [value]
    return [_from_turn(turn) for turn in value] if _is_turns(value) else value


def note_on(value: Any, *, column: str) -> str | None:
    """Return a sentence on what `as_messages` changes about a value; None if it leaves it as it is."""
    if _is_written(value):
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


def asks(conversation: Any, question: Any) -> bool:
    """Return whether a question, a text or messages, is what the last user's turn of a conversation asks."""
    return _last_words(question) in _last_words(conversation)


def _last_words(value: Any) -> str:
    """Return the text of the last user's turn, or a text, without images and with single blanks; else an empty text."""
    try:
        value = as_messages(value, column="")
    except BadLineError:
        return ""
    turns = value if isinstance(value, list) else [{"role": "user", "content": value}]
    asked = [turn.get("content") for turn in turns if isinstance(turn, Mapping) and turn.get("role") == "user"]
    content = asked[-1] if asked else ""
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return " ".join(" ".join(text for text in texts if isinstance(text, str)).replace(PLACEHOLDER, " ").split())


def history_of(value: Any, *, column: str) -> list[dict[str, Any]]:
    """Return the earlier turns of an Alpaca row, which are pairs of question and answer. Raises BadLineError."""
    if isinstance(value, str):
        value = decoded(value, column=column, code="invalid_history") if value.strip() else None
    pairs = [] if value is None else value
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise BadLineError("invalid_history", f"needs a list of pairs [question, answer] of texts in '{column:.60}'")
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for pair in pairs for role, text in zip(roles, pair, strict=True)]


def _is_written(value: Any) -> bool:
    """Return whether a text is meant as messages or turns: a list of them, or one."""
    begins = OBJECTS_TEXT.match(value) if isinstance(value, str) else None
    if begins is None:
        return False
    keys = {found[2] for found in KEY.finditer(value)}
    return (begins[1] == "[" and "role" in keys) or any(needed <= keys for needed in MESSAGE_KEYS)


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and any(needed <= value.keys() for needed in MESSAGE_KEYS)


def _is_turns(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, Mapping) and {"from", "value"} <= turn.keys() for turn in value)
    )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == PAIR
        and all(isinstance(text, str) and text.strip() for text in value)
    )


def _from_turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    speaker = str(turn["from"]).casefold()
    others = {key: value for key, value in turn.items() if key not in ("from", "value")}
    if speaker == CALLER and not turn["value"]:
        raise BadLineError("invalid_tool_calls", f"has a turn of '{CALLER}' without a call")
    if speaker == CALLER:
        return {**others, "role": "assistant", "content": "", "tool_calls": turn["value"]}
    return {**others, "role": SPEAKERS.get(speaker, speaker), "content": turn["value"]}


def _with_comma(literal: re.Match[str]) -> str:
    return f"{literal[1]}, " if literal[2] else literal[1]


def decoded(text: str, *, column: str, code: str) -> Any:
    """Parse JSON, or a literal of Python. Both must be what a row of JSON may hold.

    Raises BadLineError, with this code if the text is neither.
    """
    try:
        return parse_text(text, where=column)
    except BadLineError as error:
        if error.code != "invalid_json":
            raise
    if len(text) > MAX_PYTHON_CHARACTERS:
        raise BadLineError(
            code,
            f"has a text in '{column:.60}' that is not JSON, and too long to be read in Python's notation "
            f"({MAX_PYTHON_CHARACTERS:,} characters)",
        )
    try:
        return raw_row({column: ast.literal_eval(_LITERAL.sub(_with_comma, text.strip()))}, line=1).item[column]
    except BadLineError as error:
        raise BadLineError(error.code, f"has a text in '{column:.60}' that {error}") from None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise BadLineError(
            code, f"has a text in '{column:.60}' that is neither JSON nor in Python's notation"
        ) from None
