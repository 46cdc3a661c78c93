"""Model cards say how a model is asked as it was trained."""

from typing import Any

import pytest

from worker.exports.adapter_zip import model_card
from worker.exports.model_card import export_card

COMPARISON = {
    "tolerance": {"mean": 0.01, "max": 0.1, "greedy": 0.99, "lost": 0.1},
    "tokens": 9,
    "prompts": 1,
    "mean_difference": 0.0,
    "max_difference": 0.0,
    "greedy_equal": 1.0,
    "effect": 0.1,
    "tried": [],
}


def cards(**settings: Any) -> tuple[str, str]:
    """The cards of an adapter and of its export."""
    manifest: dict[str, Any] = {
        "base_model": {"name": "starter", "sha256": "0" * 64},
        "job": {"name": "j"},
        "code": {"version": "0"},
        "steps": 1,
        "trained_tokens": 1,
        "evaluations": [],
        "settings": {"method": "grpo", "lora": {"r": 8}, **settings},
        "export": {"format": "merged", "file": "model", "dtype": "float32", "comparison": COMPARISON},
    }
    return model_card(manifest, reads_images=False), export_card(manifest, reads_images=False)


@pytest.mark.parametrize("fold", [True, False])
def test_a_card_says_where_a_system_message_goes_if_it_was_folded(fold: bool) -> None:
    for card in cards(fold_system=fold):
        assert ("begin the user message with the text of the system message" in card) is fold


def test_a_card_tells_the_instruction_whatever_it_contains_and_that_of_an_earlier_job_none() -> None:
    for card in cards(instruction="Answer so:\n```\n42\n```"):
        assert "````text\nAnswer so:\n```\n42\n```\n````" in card
    for earlier in (cards(), cards(instruction="")):
        assert not any("instruction" in card for card in earlier)
