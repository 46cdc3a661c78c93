"""What chat templates refuse is one sentence in the checks on a model, and what they take is in the preview."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.core.settings.spec import RlsdSettings
from backend.datasets.reading.store import store_dataset
from backend.db.engine import transaction
from backend.db.projects import DEFAULT_PROJECT
from backend.errors import AppError
from backend.settings import settings
from backend.stack.embedded import Services
from tests.worker.engine.rollouts.chat_templates import GEMMA, HERMES, STARTER, starter_with
from worker.checks.preflight import run_teacher_preview
from worker.checks.token_lengths import token_lengths

SYSTEM_ROW = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
    "answer": "so",
}
CALL = {"id": "c1", "type": "function", "function": {"name": "balance", "arguments": {"account": 7}}}
TOOL_ROW = {
    "messages": [
        {"role": "user", "content": "Balance of 7?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "120"},
    ],
    "tools": json.dumps([{"type": "function", "function": {"name": "balance", "parameters": {"type": "object"}}}]),
    "answer": "120",
}
SENTENCE = (
    "the chat template of 'gemma' refuses the messages: \"System role not supported\"; it takes them with the system "
    "message in the first user message: set fold_system."
)


@pytest.fixture
def models(clean_database: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    listed = {
        "starter": str(STARTER),
        "gemma": str(starter_with(tmp_path / "gemma", GEMMA)),
        "hermes": str(starter_with(tmp_path / "hermes", HERMES)),
    }
    with monkeypatch.context() as patched:
        patched.setenv("RLSD_MODELS", json.dumps(listed))
        settings.cache_clear()
        yield
    settings.cache_clear()


def stored(*rows: dict[str, Any]) -> str:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    with transaction() as session:
        return store_dataset(
            session, io.BytesIO(content), project=DEFAULT_PROJECT, filename="rows.jsonl", mapping=None
        ).id


def preview(model: str, row: dict[str, Any], **x_rlsd: Any) -> dict[str, Any]:
    spec = RlsdSettings.model_validate(x_rlsd).model_dump(mode="json", by_alias=True)
    request = {"model": model, "training_file": stored(row, row), "grader": None, "settings": spec, "seed": 0, "row": 1}
    return run_teacher_preview(request, lambda *_: None)


def count(model: str, row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return token_lengths({"file_id": stored(row), "model": model, **fields}, lambda *_: None)


@pytest.mark.usefixtures("models")
def test_a_refused_system_message_is_a_sentence_with_row_model_and_setting() -> None:
    with pytest.raises(AppError) as refusal:
        preview("gemma", SYSTEM_ROW)
    assert refusal.value.message == f"Row 1: {SENTENCE}"
    assert (refusal.value.code, refusal.value.param) == ("chat_template_refuses", "x_rlsd.fold_system")
    with pytest.raises(AppError) as refusal:
        count("gemma", SYSTEM_ROW)
    assert refusal.value.message == f"Line 1: {SENTENCE}"
    assert (refusal.value.code, refusal.value.param) == ("chat_template_refuses", "fold_system")


@pytest.mark.usefixtures("models")
def test_a_folded_system_message_is_in_both_prompts_and_the_preview_says_so() -> None:
    shown = preview("gemma", SYSTEM_ROW, fold_system=True)
    (teacher,) = shown["teachers"]
    assert "user\nBe brief.\n\nWhy?<|im_end|>" in shown["student"]["text"]
    assert "user\nBe brief.\n\nWhy?\n\nReference:\nso<|im_end|>" in teacher["text"]
    assert shown["note"].endswith("System messages are put into the user message after them (fold_system).")
    assert "fold_system" not in preview("starter", SYSTEM_ROW)["note"]
    assert count("gemma", SYSTEM_ROW, fold_system=True)["question"]["max"] == shown["student"]["tokens"]


@pytest.mark.usefixtures("models")
def test_an_instruction_is_in_both_prompts_and_counted_and_the_preview_says_so() -> None:
    plain = {"question": "Why?", "answer": "so"}
    shown = preview("starter", plain, instruction="  Think first. ")
    (teacher,) = shown["teachers"]
    for text in (shown["student"]["text"], teacher["text"]):
        assert "system\nThink first.<|im_end|>" in text
    assert "user\nWhy?\n\nReference:\nso<|im_end|>" in teacher["text"]
    assert "(instruction)" in shown["note"]
    assert "(instruction)" not in preview("starter", plain)["note"]
    assert count("starter", plain, instruction="Think first.")["question"]["max"] == shown["student"]["tokens"]
    folded = preview("gemma", SYSTEM_ROW, instruction="Think first.", fold_system=True)["student"]["text"]
    assert "user\nThink first.\n\nBe brief.\n\nWhy?<|im_end|>" in folded
    with pytest.raises(AppError, match="set fold_system"):
        preview("gemma", plain, instruction="Think first.")


@pytest.mark.usefixtures("models")
def test_tools_calls_and_answers_are_in_the_preview_and_counted() -> None:
    shown = preview("hermes", TOOL_ROW)
    (teacher,) = shown["teachers"]
    for text in (shown["student"]["text"], teacher["text"]):
        assert '<tools>{"type": "function", "function": {"name": "balance"' in text
        assert '<tool_call>{"name": "balance", "arguments": {"account": 7}}</tool_call>' in text
        assert "tool\n120<|im_end|>" in text
    assert count("hermes", TOOL_ROW)["question"]["max"] == shown["student"]["tokens"]


@pytest.mark.usefixtures("models")
def test_a_model_whose_template_knows_no_tools_is_refused_by_name() -> None:
    sentence = "the chat template of 'starter' leaves out the tools: use a model whose template writes them"
    with pytest.raises(AppError, match=f"Row 1: {sentence}"):
        preview("starter", TOOL_ROW)
    with pytest.raises(AppError, match=f"Line 1: {sentence}"):
        count("starter", TOOL_ROW)
