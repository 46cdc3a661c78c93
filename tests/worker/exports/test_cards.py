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


def evaluation(step: int, phase: str, mean: float, **more: Any) -> dict[str, Any]:
    return {"step": step, "phase": phase, "mean": mean, "low": 0.0, "high": 1.0, "n": 50, "k": 4, **more}


def cards(*, steps: int = 1, tokens: int = 1, evaluations: Any = (), **settings: Any) -> tuple[str, str]:
    """The cards of an adapter and of its export."""
    manifest: dict[str, Any] = {
        "base_model": {"name": "starter", "sha256": "0" * 64},
        "job": {"name": "j"},
        "code": {"version": "0"},
        "steps": steps,
        "trained_tokens": tokens,
        "evaluations": [*evaluations],
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


def test_a_card_says_which_step_was_kept_and_that_others_measured_it() -> None:
    chosen = {"selection": {"mean": 0.9, "n": 49}}
    found = [evaluation(0, "baseline", 0.1, **chosen), evaluation(40, "interim", 0.7, **chosen)]
    for card in cards(steps=40, evaluations=[*found, evaluation(40, "trained", 0.7, **chosen)]):
        assert "This is the adapter of step 40, the best one on 49 of the held-out questions. The results are" in card
        assert "those on the other 50, which chose nothing." in card
        assert "| baseline | 0.100 |" in card
        assert "| trained | 0.700 |" in card
        assert "interim" not in card, "it is the one that was kept"
    for card in cards(steps=0, tokens=0, evaluations=[*found[:1], evaluation(0, "trained", 0.1, **chosen)]):
        assert "This is the model before training" in card
        assert "Nothing was learned" not in card
    for card in cards(evaluations=[evaluation(0, "baseline", 0.1), evaluation(40, "trained", 0.7)]):
        assert "which chose nothing" not in card
