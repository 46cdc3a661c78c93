"""The teacher preview: the exact prompts of a run, with and without weights, text and images."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.worker.engine.tiny import save_tiny_model, tiny_policy, tiny_settings, tiny_tasks, tiny_tokenizer
from tests.worker.engine.tiny_vision import (
    GENERATIONS,
    image_task,
    save_tiny_vision_model,
    tiny_processor,
    tiny_vision_model,
)
from worker.engine.faults import Fault
from worker.engine.model.assets import load_assets, require_chat_template
from worker.engine.model.policy_loading import build_policy
from worker.engine.preflight.preview import preview
from worker.engine.preflight.probe import UNBOUNDED
from worker.engine.rollouts.prompts import HINT_BLOCK, PromptBuilder

TASKS = tiny_tasks(6)


def previewed(settings=None, *, task=TASKS[2], allowed=200, prompt_builder=None):
    prompt_builder = prompt_builder or PromptBuilder(tiny_tokenizer(), UNBOUNDED)
    result = preview(
        settings or tiny_settings(), prompt_builder=prompt_builder, allowed=allowed, tasks=TASKS, task=task
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    return result


def test_the_prompts_are_those_of_a_run_token_by_token():
    settings, policy = tiny_settings(hint="solution"), tiny_policy()
    result, prompt_builder = previewed(settings), PromptBuilder(policy.tokenizer, UNBOUNDED)
    student, (teacher,) = result["student"], result["teachers"]
    assert student["text"] == "<|system|>Be brief.<|end|><|user|>qqqq<|end|><|assistant|>"
    assert student["tokens"] == len(prompt_builder.prompt(TASKS[2]).student.ids)
    block = HINT_BLOCK.format(hint=TASKS[2].solution)
    assert teacher["text"] == f"<|system|>Be brief.<|end|><|user|>qqqq{block}<|end|><|assistant|>"
    assert teacher["tokens"] == len(prompt_builder.with_hint(TASKS[2], hint=TASKS[2].solution).ids)
    assert teacher["text"][teacher["hint_start"] : teacher["hint_end"]] == TASKS[2].solution
    assert teacher["only_the_hint_differs"]
    assert teacher["same_after_tokens"] == 2, "both end with the beginning of the assistant's turn"
    assert not teacher["cut"]
    assert not result["too_long"]


def test_a_hint_that_repeats_the_question_is_found_where_it_was_put():
    result = previewed(tiny_settings(), task=replace(TASKS[2], answer="qqqq"))
    (teacher,) = result["teachers"]
    assert teacher["text"][: teacher["hint_start"]].endswith("Reference:\n")


@pytest.mark.parametrize(
    ("changes", "hints"),
    [
        ({"hint": "trajectory"}, ["trajectory"]),
        ({"hint": "empty"}, ["empty"]),
        ({"method": "rlsd_template"}, ["answer", "empty"]),
        ({"method": "cepo"}, ["answer", "wrong_sibling"]),
        ({"method": "sdpo", "hint": "sibling"}, ["sibling"]),
        ({"method": "grpo"}, []),
        ({"method": "opd"}, []),
        ({"method": "sft"}, []),
        ({"lam": 0.0}, []),
    ],
)
def test_each_method_shows_its_teachers_and_a_method_without_one_has_a_note(changes, hints):
    result = previewed(tiny_settings(**changes))
    assert [teacher["hint"] for teacher in result["teachers"]] == hints
    assert all(teacher["from_group"] == ("sibling" in teacher["hint"]) for teacher in result["teachers"])
    if not hints:
        notes = {
            "grpo": "no teacher",
            "opd": "larger model",
            "rlsd": "does not use",
            "sft": "imitates a text of the row",
        }
        assert notes[result["method"]] in result["note"]


def test_a_placebo_is_another_rows_and_the_one_used_in_training():
    result = previewed(tiny_settings(hint="placebo", placebo_of="solution"))
    (teacher,) = result["teachers"]
    assert TASKS[2].solution not in teacher["text"]
    assert any(task.solution in teacher["text"] for task in TASKS)


def test_a_prompt_that_is_too_long_is_shown_whole_and_marked():
    result = previewed(allowed=30)
    assert result["student"]["tokens"] < 30 < result["teachers"][0]["tokens"]
    assert result["too_long"]


def test_a_row_without_the_hint_is_named():
    with pytest.raises(ValueError, match="row 3 has no solution"):
        previewed(tiny_settings(hint="solution"), task=replace(TASKS[2], solution=None))


@pytest.mark.parametrize("family", GENERATIONS)
def test_images_are_laid_out_without_weights_as_with_them(family, tmp_path: Path):
    task, settings = image_task(2, num_images=2), tiny_settings(hint="solution")
    assets = load_assets(save_tiny_vision_model(tmp_path / family, family), allow_remote_code=False)
    assert next(assets.vision().body.parameters()).device.type == "meta"
    result = previewed(settings, task=task, prompt_builder=PromptBuilder(assets.tokenizer, UNBOUNDED, assets.vision()))
    processor = tiny_processor(family)
    policy = build_policy(
        tiny_vision_model(family), tokenizer=processor.tokenizer, settings=settings, processor=processor
    )
    assert result == previewed(
        settings, task=task, prompt_builder=PromptBuilder(policy.tokenizer, UNBOUNDED, policy.vision)
    )
    student, (teacher,) = result["student"], result["teachers"]
    assert student["images"] == teacher["images"] == 2
    assert student["image_tokens"] == teacher["image_tokens"] == student["text"].count("<|image_pad|>") > 2
    assert student["completion_position"] < student["tokens"], "images take fewer positions than tokens"
    assert teacher["completion_position"] - student["completion_position"] == teacher["tokens"] - student["tokens"]


def test_assets_have_the_longest_sequence_and_a_missing_template(tmp_path: Path):
    assets = load_assets(save_tiny_model(tmp_path / "model"), allow_remote_code=False)
    assert assets.max_positions == 512
    assert assets.vision() is None
    with pytest.raises(Fault, match="no chat template"):
        require_chat_template(tiny_tokenizer(chat_template=None))
