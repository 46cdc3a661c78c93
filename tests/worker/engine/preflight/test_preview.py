"""The teacher preview: the very prompts of a run, with and without weights, words and pictures."""

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
from worker.engine.model.assets import load_kit, require_chat_template
from worker.engine.model.policy import build_policy
from worker.engine.preflight.preview import preview
from worker.engine.preflight.probe import UNBOUNDED
from worker.engine.rollouts.prompts import HINT_BLOCK, PromptBuilder

TASKS = tiny_tasks(6)


def shown(settings=None, *, task=TASKS[2], allowed=200, reader=None):
    reader = reader or PromptBuilder(tiny_tokenizer(), UNBOUNDED)
    told = preview(settings or tiny_settings(), reader=reader, allowed=allowed, tasks=TASKS, task=task)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    return told


def test_the_prompts_are_those_of_a_run_token_by_token():
    settings, policy = tiny_settings(hint="solution"), tiny_policy()
    told, reader = shown(settings), PromptBuilder(policy.tokenizer, UNBOUNDED)
    student, (teacher,) = told["student"], told["teachers"]
    assert student["text"] == "<|system|>Be brief.<|end|><|user|>qqqq<|end|><|assistant|>"
    assert student["tokens"] == len(reader.prompt(TASKS[2]).student.ids)
    block = HINT_BLOCK.format(hint=TASKS[2].solution)
    assert teacher["text"] == f"<|system|>Be brief.<|end|><|user|>qqqq{block}<|end|><|assistant|>"
    assert teacher["tokens"] == len(reader.with_hint(TASKS[2], hint=TASKS[2].solution).ids)
    assert teacher["text"][teacher["hint_start"] : teacher["hint_end"]] == TASKS[2].solution
    assert teacher["only_the_hint_differs"]
    assert teacher["same_after_tokens"] == 2, "both end with the beginning of the assistant's turn"
    assert not teacher["cut"]
    assert not told["too_long"]


def test_a_hint_that_repeats_the_question_is_found_where_it_was_put():
    told = shown(tiny_settings(), task=replace(TASKS[2], answer="qqqq"))
    (teacher,) = told["teachers"]
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
        ({"lam": 0.0}, []),
    ],
)
def test_each_method_shows_its_teachers_and_one_without_says_so(changes, hints):
    told = shown(tiny_settings(**changes))
    assert [teacher["hint"] for teacher in told["teachers"]] == hints
    assert all(teacher["from_group"] == ("sibling" in teacher["hint"]) for teacher in told["teachers"])
    if not hints:
        assert {"grpo": "no teacher", "opd": "larger model", "rlsd": "never asks"}[told["method"]] in told["note"]


def test_a_placebo_is_another_rows_and_the_one_that_training_shows():
    told = shown(tiny_settings(hint="placebo", placebo_of="solution"))
    (teacher,) = told["teachers"]
    assert TASKS[2].solution not in teacher["text"]
    assert any(task.solution in teacher["text"] for task in TASKS)


def test_a_prompt_that_is_too_long_is_shown_whole_and_said_to_be():
    told = shown(allowed=30)
    assert told["student"]["tokens"] < 30 < told["teachers"][0]["tokens"]
    assert told["too_long"]


def test_a_row_without_the_hint_is_named():
    with pytest.raises(ValueError, match="row 3 has no solution"):
        shown(tiny_settings(hint="solution"), task=replace(TASKS[2], solution=None))


@pytest.mark.parametrize("family", GENERATIONS)
def test_images_are_laid_out_without_weights_as_with_them(family, tmp_path: Path):
    task, settings = image_task(2, num_images=2), tiny_settings(hint="solution")
    kit = load_kit(save_tiny_vision_model(tmp_path / family, family), allow_remote_code=False)
    assert next(kit.vision().body.parameters()).device.type == "meta"
    told = shown(settings, task=task, reader=PromptBuilder(kit.tokenizer, UNBOUNDED, kit.vision()))
    processor = tiny_processor(family)
    policy = build_policy(
        tiny_vision_model(family), tokenizer=processor.tokenizer, settings=settings, processor=processor
    )
    assert told == shown(settings, task=task, reader=PromptBuilder(policy.tokenizer, UNBOUNDED, policy.vision))
    student, (teacher,) = told["student"], told["teachers"]
    assert student["images"] == teacher["images"] == 2
    assert student["image_tokens"] == teacher["image_tokens"] == student["text"].count("<|image_pad|>") > 2
    assert student["completion_position"] < student["tokens"], "images take fewer positions than tokens"
    assert teacher["completion_position"] - student["completion_position"] == teacher["tokens"] - student["tokens"]


def test_a_kit_knows_the_longest_sequence_and_a_missing_template(tmp_path: Path):
    kit = load_kit(save_tiny_model(tmp_path / "model"), allow_remote_code=False)
    assert kit.max_positions == 512
    assert kit.vision() is None
    with pytest.raises(Fault, match="no chat template"):
        require_chat_template(tiny_tokenizer(chat_template=None))
