"""The models of the tasks: small Llamas, pretrained when they are missing, on one thread from a fixed seed."""

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from benchmarks.learning.task import LearningTask
from examples.starter.pretrain import new_model, pretrain
from examples.starter.tokenizer import save_tokenizer

CACHE = Path(__file__).parent / ".models"
SEED = 0


def ensure_model(task: LearningTask, *, report: Callable[[str], None]) -> None:
    """Train and save the task's model unless it exists. To train it again, remove its folder."""
    if task.pretraining is None or task.model.exists():
        return
    pretraining = task.pretraining
    report(f"making the model of {task.name}")
    tokenizer = pretraining.tokenizer()
    torch.manual_seed(SEED)
    if pretraining.start is None:
        model = new_model(tokenizer, pretraining.size)
    else:
        model = AutoModelForCausalLM.from_pretrained(pretraining.start, dtype=torch.float32)
    pretrain(
        model,
        tokenizer,
        pretraining.lessons(random.Random(f"{SEED} lessons {task.name}")),
        size=pretraining.size,
        report=report,
    )
    task.model.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=task.model.parent))
    model.save_pretrained(temporary)
    save_tokenizer(tokenizer, temporary)
    if task.model.exists():
        shutil.rmtree(temporary)  # another process has saved it first
    else:
        temporary.rename(task.model)
