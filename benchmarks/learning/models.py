"""Makes the models of the tasks when they are missing: small Llamas, trained on one thread from a fixed seed."""

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
    """Train and save the task's model unless it is there. Remove its folder to have it made again."""
    if task.schooling is None or task.model.exists():
        return
    schooling = task.schooling
    report(f"making the model of {task.name}")
    tokenizer = schooling.tokenizer()
    torch.manual_seed(SEED)
    if schooling.start is None:
        model = new_model(tokenizer, schooling.size)
    else:
        model = AutoModelForCausalLM.from_pretrained(schooling.start, dtype=torch.float32)
    pretrain(
        model,
        tokenizer,
        schooling.lessons(random.Random(f"{SEED} lessons {task.name}")),
        size=schooling.size,
        report=report,
    )
    task.model.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=task.model.parent))
    model.save_pretrained(making)
    save_tokenizer(tokenizer, making)
    if task.model.exists():
        shutil.rmtree(making)  # another process was faster
    else:
        making.rename(task.model)
