"""The shown code asks a model as it was trained."""

from typing import Any

import pytest

from frontend.app_pages.models import use_code
from worker.engine.rollouts.chat_template import folded

ASKED = [{"role": "system", "content": "Your system message"}, {"role": "user", "content": "Your question"}]


def manifest(**settings: Any) -> dict[str, Any]:
    return {"base_model": {"name": "starter"}, "settings": {"lora": {"r": 8}, **settings}}


@pytest.mark.parametrize(("fold", "asked"), [(True, folded(ASKED)), (False, ASKED[1:]), (None, ASKED[1:])])
def test_system_messages_are_given_as_in_training(fold: bool | None, asked: list[dict[str, Any]]) -> None:
    shown = manifest() if fold is None else manifest(fold_system=fold)
    (line,) = [line for line in use_code.peft(shown).splitlines() if line.startswith("question = ")]
    names: dict[str, Any] = {}
    exec(line, names)
    assert names["question"] == asked
    assert ("an empty line begin the user message" in use_code.vllm(shown)) is bool(fold)
