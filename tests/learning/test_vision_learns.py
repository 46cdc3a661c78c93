"""A small model that sees gets better at what must be seen, and only because it sees."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from examples.vision.signs import CELL, data_url, user_message
from examples.vision.verifier import grade
from tests.worker.engine.tiny import Recorder, Verdict, sample_rollouts, tiny_prompt_builder, tiny_settings
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.policy_loading import load_policy
from worker.engine.types import Task

pytestmark = pytest.mark.training

VISION = Path(__file__).parents[2] / "examples" / "vision"
BLANK = user_message(data_url(Image.new("RGB", (2 * CELL, CELL), (240, 240, 240))))


def tasks(name: str, *, count: int) -> list[Task]:
    rows: list[dict[str, Any]] = [json.loads(line) for line in (VISION / name).read_text().splitlines()[:count]]
    return [
        Task(
            row=number,
            messages=tuple(row["messages"]),
            answer=row["answer"],
            solution=row["solution"],
            trajectory=None,
            privileged=None,
            item={"answer": row["answer"]},
        )
        for number, row in enumerate(rows)
    ]


def reward(completions):
    return [Verdict(grade({"output_text": done.text}, done.task.item)) for done in completions]


def test_held_out_accuracy_goes_up_and_falls_to_chance_without_the_picture():
    torch.set_num_threads(1)
    settings = tiny_settings(
        method="rlsd",
        lam=1.0,
        eps_w=(0.8, 4.0),
        normalise=True,
        first_error=True,
        hint="solution",
        learning_rate=2e-3,
        lora_r=16,
        lora_alpha=32.0,
        batch_size=8,
        num_generations=8,
        max_steps=30,
        max_prompt_tokens=256,
        max_completion_tokens=48,
        micro_batch_tokens=8192,
        eval_samples=4,
        diagnostic_interval=0,
        checkpoint_interval=1000,
    )
    policy = load_policy(str(VISION / "model"), settings=settings)
    held_out = tasks("held_out.jsonl", count=60)
    recorder = Recorder()
    run(
        Experiment(
            settings=settings, policy=policy, tasks=tasks("train.jsonl", count=200), held_out=held_out, reward=reward
        ),
        observer=recorder,
        resume=None,
    )
    before, after = recorder.evaluations
    assert 0.15 < before.mean < 0.35
    assert after.mean > before.mean + 0.3
    assert after.low > before.high
    assert after.p_value < 0.001

    reader = tiny_prompt_builder(policy)
    blanked = [reader.prompt(replace(task, messages=(BLANK,))) for task in held_out]
    written = sample_rollouts(
        policy,
        blanked,
        num_generations=4,
        max_completion_tokens=48,
        temperature=1.0,
        generator=torch.Generator().manual_seed(0),
    )
    scores = [verdict.score for verdict in reward(written.completions)]
    assert sum(scores) / len(scores) < 0.03, "24 x 23 answers are possible"
