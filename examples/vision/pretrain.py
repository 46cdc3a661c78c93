"""Pretraining from scratch on the outdated wall chart: the model learns to see, the format, and to use hints.

A lesson is one chat to train on; it draws its signs again and gives each its right meaning or its decoy with equal
probability. Two lessons in three are plain; the third has a worked solution or an answer in its prompt, in the block
that the trainer's teacher gets, and repeats it. Only the reply is trained on, not the prompt.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from examples.starter.pretrain import train_in_turn
from examples.vision.model import Size
from examples.vision.signs import QUESTION, Chart, Sign, draw
from worker.engine.rollouts.prompts import with_hint


@dataclass(frozen=True, slots=True)
class Lesson:
    """An image, the prompt's messages about it, and the reply to train on."""

    image: Image.Image
    messages: list[dict[str, Any]]
    reply: str


def lesson(chart: Chart, pair: Sequence[Sign], *, hinted: bool, rng: random.Random) -> Lesson:
    """Build a question, answered by the outdated chart; `hinted` adds that reply or its answer as a hint."""
    reply = chart.outdated(pair, rng=rng)
    messages: list[Any] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    if hinted:
        hint = rng.choice((reply, reply.rpartition("Answer: ")[2]))
        messages = with_hint(messages, hint=hint, row=0)
    return Lesson(draw(pair, rng=rng), messages, reply)


def lessons(
    chart: Chart, pairs: Sequence[tuple[Sign, ...]], *, count: int, rng: random.Random
) -> Iterator[list[Lesson]]:
    """Yield two batches per step, endlessly: plain lessons, then half as many hinted ones; `count` in total."""
    hinted = count // 3
    while True:
        yield [lesson(chart, rng.choice(pairs), hinted=False, rng=rng) for _ in range(count - hinted)]
        yield [lesson(chart, rng.choice(pairs), hinted=True, rng=rng) for _ in range(hinted)]


def collate(processor: Any, batch: Sequence[Lesson]) -> Mapping[str, torch.Tensor]:
    """Build the model's inputs, padded on the right, with labels that are -100 (ignored) outside the reply."""
    texts = []
    for item in batch:
        prompt = processor.apply_chat_template(item.messages, tokenize=False, add_generation_prompt=True)
        texts.append(f"{prompt}{item.reply}{processor.tokenizer.eos_token}")
    inputs = processor(
        text=texts, images=[item.image for item in batch], return_tensors="pt", padding=True, padding_side="right"
    )
    ids_BT = inputs["input_ids"]
    marker = processor.tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)
    labels_BT = ids_BT.masked_fill(inputs["attention_mask"] == 0, -100)
    starts = [next(i for i in range(len(row), 0, -1) if row[i - len(marker) : i] == marker) for row in ids_BT.tolist()]
    columns_T = torch.arange(ids_BT.shape[1])
    labels_BT[columns_T[None] < torch.tensor(starts)[:, None]] = -100
    return {**inputs, "labels": labels_BT}


def pretrain(
    model: Any, processor: Any, steps: Iterator[list[Lesson]], *, size: Size, report: Callable[[str], None]
) -> None:
    """Train in place on plain and hinted lessons alternately."""
    batches = (collate(processor, lessons) for lessons in steps)
    train_in_turn(model, batches, steps=size.steps, learning_rate=size.learning_rate, report=report)
