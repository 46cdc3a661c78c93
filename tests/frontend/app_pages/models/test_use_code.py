"""The shown code asks a model as it was trained."""

import ast
import json
from typing import Any

import pytest

from frontend.app_pages.models import use_code
from worker.engine.rollouts.chat_template import asked

ASKED = [{"role": "system", "content": "Your system message"}, {"role": "user", "content": "Your question"}]


def manifest(**settings: Any) -> dict[str, Any]:
    return {"base_model": {"name": "starter"}, "settings": {"lora": {"r": 8}, **settings}}


def question(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the question in the code for PEFT."""
    (line,) = [line for line in use_code.peft(shown).splitlines() if line.startswith("question = ")]
    names: dict[str, Any] = {}
    exec(line, names)
    messages: list[dict[str, Any]] = names["question"]
    return messages


@pytest.mark.parametrize("told", ["Add.", 'Write "so":\n```\n{x} \\boxed{1} ½\n```'])
@pytest.mark.parametrize("fold", [True, False])
def test_the_instruction_is_given_as_in_training(told: str, fold: bool) -> None:
    shown = manifest(instruction=told, fold_system=fold)
    assert question(shown) == asked(ASKED[1:], instruction=told, fold=fold)
    (line,) = [line for line in use_code.vllm(shown).splitlines() if "the system message is" in line]
    assert json.loads(line[line.index('"') :]) == told
    code = ast.parse(use_code.openai("m", api_url="u", manifest=shown))
    (messages,) = [node.value for node in ast.walk(code) if isinstance(node, ast.keyword) and node.arg == "messages"]
    assert ast.literal_eval(messages) == asked(ASKED[1:], instruction=told, fold=False)


@pytest.mark.parametrize(
    ("fold", "messages"), [(True, asked(ASKED, instruction="", fold=True)), (False, ASKED[1:]), (None, ASKED[1:])]
)
def test_system_messages_are_given_as_in_training(fold: bool | None, messages: list[dict[str, Any]]) -> None:
    shown = manifest() if fold is None else manifest(fold_system=fold)
    assert question(shown) == messages
    assert ("an empty line begin the user message" in use_code.vllm(shown)) is bool(fold)
