"""Inside: values for the parameters of a Python verifier (backend/verifiers/signatures.py).

A missing value is an error, never a default: a verifier that compares with nothing would score every completion alike.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from backend.verifiers.signatures import REFERENCE_COLUMNS

MESSAGES = ("completion", "prompt")
"""Values that are lists of messages for a verifier that reads them as such, and texts for others."""
_PROMPT_COLUMNS = ("messages", "prompt", "question", "problem", "input")


class MissingValueError(Exception):
    """The row has no value for a parameter."""


def value(name: str, row: Mapping[str, Any], *, chat: bool) -> Any:
    """Look up the value of a parameter. `row`: `output_text, item, answer`, and `messages` if the prompt is known."""
    return _VALUES[name](row, chat)


def column(name: str, row: Mapping[str, Any], *, required: bool) -> Any:
    item = row["item"]
    if name in item:
        return item[name]
    if name in REFERENCE_COLUMNS and row["answer"] is not None:
        return row["answer"]
    if required:
        columns = ", ".join(sorted(map(str, item))[:20]) or "none"
        raise MissingValueError(f"the verifier needs '{name}', but the row has no such column (columns: {columns})")
    return None


def sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """Build OpenAI's `sample`. `output_json`: the object or list that the text is, None if it is neither."""
    text = row["output_text"]
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    parsed = parsed if isinstance(parsed, dict | list) else None
    message = {"role": "assistant", "content": text}
    return {"output_text": text, "output_json": parsed, "choices": [{"index": 0, "message": message}]}


def _completion(row: Mapping[str, Any], chat: bool) -> Any:
    text = row["output_text"]
    return [{"role": "assistant", "content": text}] if chat else text


def _prompt(row: Mapping[str, Any], chat: bool) -> Any:
    messages = _messages(row)
    return messages if chat else "\n\n".join(_text(message) for message in messages)


def _messages(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    if row.get("messages"):
        return list(row["messages"])
    item = row["item"]
    for name in _PROMPT_COLUMNS:
        found = item.get(name)
        if isinstance(found, str):
            return [{"role": "user", "content": found}]
        if isinstance(found, list) and found and all(isinstance(message, dict) for message in found):
            return [
                dict(message) for message in found if message.get("role") != "assistant" or message is not found[-1]
            ]
    raise MissingValueError("the verifier needs the prompt, but the row has none")


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _reference(row: Mapping[str, Any], *names: str) -> Any:
    """Return the first of these columns of the item, else the row's reference answer."""
    item = row["item"]
    for name in names:
        if name in item:
            return item[name]
    if row["answer"] is None:
        raise MissingValueError("the verifier needs the reference answer, but the row has none")
    return row["answer"]


def _ground_truth(row: Mapping[str, Any]) -> Any:
    model = row["item"].get("reward_model")
    if isinstance(model, dict) and "ground_truth" in model:
        return model["ground_truth"]
    return _reference(row, "ground_truth")


def _answer(row: Mapping[str, Any]) -> Any:
    return row["answer"] if row["answer"] is not None else _reference(row, "answer")


def _query(row: Mapping[str, Any]) -> str:
    """Return the prompt and what follows it, as OpenRLHF does."""
    return f"{_prompt(row, False)}{row['output_text']}"


def _reward_input(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"response": row["output_text"], "ground_truth": _ground_truth(row)}


def _info(row: Mapping[str, Any]) -> Any:
    info = row["item"].get("info", {})
    if isinstance(info, str):
        try:
            return json.loads(info)
        except (ValueError, RecursionError):
            return info
    return info


_VALUES: dict[str, Callable[[Mapping[str, Any], bool], Any]] = {
    "sample": lambda row, chat: sample(row),
    "item": lambda row, chat: row["item"],
    "output_text": lambda row, chat: row["output_text"],
    "completion": _completion,
    "prompt": _prompt,
    "prompt_text": lambda row, chat: _prompt(row, False),
    "query": lambda row, chat: _query(row),
    "reward_input": lambda row, chat: _reward_input(row),
    "answer": lambda row, chat: _answer(row),
    "info": lambda row, chat: _info(row),
    "target": lambda row, chat: _reference(row, "target"),
    "data_source": lambda row, chat: row["item"].get("data_source", ""),
    "ground_truth": lambda row, chat: _ground_truth(row),
    "extra_info": lambda row, chat: row["item"].get("extra_info") or {},
}
