"""A dataset row is asked with everything that its prompt has in training, or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest

from frontend.api import Client
from frontend.api.types import FileRow
from frontend.components import questions
from tests.frontend.test_pages import opened, uploaded
from worker.engine.rollouts.chat_template import instructed

TOOL = {"type": "function", "function": {"name": "balance"}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "Balance of 7?"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "balance", "arguments": {}}}]},
    {"role": "tool", "content": "120", "tool_call_id": "c1"},
]


def row(*, tools: list[dict[str, Any]], messages: list[dict[str, Any]]) -> FileRow:
    return {
        "id": "row-0",
        "row": 0,
        "line": 1,
        "messages": messages,
        "tools": tools,
        "images": [],
        "reference": {"answer": "120", "solution": None},
        "hint": None,
        "item": {},
        "split": "train",
    }


@pytest.mark.parametrize(
    ("tools", "messages", "uses"),
    [([TOOL], MESSAGES[:1], True), ([], MESSAGES[:2], True), ([], MESSAGES[::2], True), ([], MESSAGES[:1], False)],
)
def test_rows_with_tools_calls_or_their_answers_are_told(
    tools: list[dict[str, Any]], messages: list[dict[str, Any]], uses: bool
) -> None:
    assert questions.uses_tools(row(tools=tools, messages=messages)) is uses


@pytest.mark.parametrize("role", ["system", "developer", "user"])
@pytest.mark.parametrize("content", ["Be brief.", [{"type": "text", "text": "Be brief."}]])
@pytest.mark.parametrize("instruction", ["", "Add."])
def test_an_instruction_is_where_it_was_in_training(role: str, content: Any, instruction: str) -> None:
    messages = [{"role": role, "content": content}, MESSAGES[0]]
    assert questions.instructed(messages, instruction=instruction) == instructed(messages, instruction=instruction)


def test_a_row_with_tools_is_not_asked_and_the_page_says_so(
    client: Client, key: str, tmp_path: Path, api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)
    path = tmp_path / "tools.jsonl"
    path.write_text(json.dumps({"messages": MESSAGES[:1], "answer": "120", "tools": [TOOL]}))
    uploaded(client, path)
    app = opened("playground", key=key)
    app.segmented_control(key="ask_from").set_value("Dataset row").run()
    assert not app.exception
    assert questions.NO_TOOLS in [warning.value for warning in app.warning]
