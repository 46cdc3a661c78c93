"""A dataset row is asked with everything that its prompt has in training."""

from typing import Any

from frontend.api.types import Row
from frontend.components import questions

TOOL = {"type": "function", "function": {"name": "balance"}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "Balance of 7?"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "balance", "arguments": {}}}]},
    {"role": "tool", "content": "120", "tool_call_id": "c1"},
]


def row(*, tools: list[dict[str, Any]]) -> Row:
    return {
        "id": "row-0",
        "row": 0,
        "line": 1,
        "messages": MESSAGES,
        "tools": tools,
        "images": [],
        "reference": {"answer": "120", "solution": None},
        "hint": None,
        "item": {},
        "split": "train",
    }


def no_image(_: str) -> bytes:
    raise AssertionError("the row has no image")


def test_tools_calls_and_their_answers_are_part_of_the_request() -> None:
    assert questions.of_row(row(tools=[TOOL]), image=no_image).prompt == {"messages": MESSAGES, "tools": [TOOL]}
    assert questions.of_row(row(tools=[]), image=no_image).prompt == {"messages": MESSAGES}
