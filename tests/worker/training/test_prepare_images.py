"""Rows with images become tasks whose images reach the model."""

import json
from pathlib import Path

from backend.core.settings.spec import RlsdSettings
from backend.datasets.rows.rows import read_rows
from tests.worker.engine.tiny_vision import tiny_processor, tiny_vision_model
from worker.engine.model.policy_loading import build_policy
from worker.engine.rollouts.prompts import LengthLimits, PromptBuilder
from worker.training.prepare import engine_settings, tasks_of

ROWS = Path(__file__).parents[3] / "examples" / "vision" / "train.jsonl"


def test_a_rows_pictures_reach_the_model_and_not_the_verifier() -> None:
    with ROWS.open("rb") as file:
        rows = read_rows(file)
    spec = RlsdSettings()
    train, held_out = tasks_of(rows, spec=spec, verifier=None, seed=0, validation=None)
    assert len(train) + len(held_out) == len(rows) == 200

    processor = tiny_processor()
    settings = engine_settings(spec, seed=0)
    policy = build_policy(tiny_vision_model(), tokenizer=processor.tokenizer, settings=settings, processor=processor)
    prompt_builder = PromptBuilder(policy.tokenizer, LengthLimits(500, 500), policy.vision)
    contexts = [prompt_builder.prompt(task).student for task in train[:20]]
    assert len({context.ids for context in contexts}) == 1, "the words are the same"
    assert len({context.image_spans.images.digest for context in contexts if context.image_spans}) == 20

    for task in train:
        assert [picture[:4] for picture in task.images] == [b"\x89PNG"]
        assert len(json.dumps(task.item)) < 500
        assert task.item["answer"] == task.answer
