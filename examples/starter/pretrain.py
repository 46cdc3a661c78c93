"""Pretraining from scratch on the outdated handbook: a small Llama learns the format, half of the facts, and hints.

A lesson is one chat to train on; it draws each fact again, right or decoy with equal probability. Two lessons in three
are plain; the third has the whole worked solution in its prompt, in the block that the trainer's teacher gets, and
repeats it. Only the reply is trained on, not the prompt.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from examples.starter.handbook import Chain, Handbook
from worker.engine.rollouts.prompts import with_hint

Message = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Shape of the model and length of its pretraining."""

    width: int
    layers: int
    heads: int
    feed_forward: int
    context: int
    vocabulary: int
    steps: int
    lessons_per_step: int
    learning_rate: float


FULL = Size(
    width=128,
    layers=3,
    heads=4,
    feed_forward=448,
    context=1024,
    vocabulary=1000,
    steps=400,
    lessons_per_step=72,
    learning_rate=3e-3,
)
"""The starter in the repository."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One chat to train on: the prompt's messages and the reply."""

    messages: list[Message]
    reply: str


def plain_lesson(handbook: Handbook, chain: Chain, *, rng: random.Random) -> Lesson:
    """Build a question, answered by an outdated edition."""
    return Lesson([{"role": "user", "content": chain.question}], handbook.outdated_solution(chain, rng))


def hinted_lesson(handbook: Handbook, chain: Chain, *, rng: random.Random) -> Lesson:
    """Build a question with a worked solution as a hint, right or not, and a reply that repeats it."""
    solution = handbook.outdated_solution(chain, rng)
    question = [{"role": "user", "content": chain.question}]
    return Lesson(with_hint(question, hint=solution, row=0), solution)


def lessons(handbook: Handbook, chains: Sequence[Chain], *, count: int, rng: random.Random) -> Iterator[list[Lesson]]:
    """Yield two batches per step, endlessly: plain lessons, then half as many hinted ones; `count` in total."""
    while True:
        hinted = count // 3
        yield [plain_lesson(handbook, rng.choice(chains), rng=rng) for _ in range(count - hinted)]
        yield [hinted_lesson(handbook, rng.choice(chains), rng=rng) for _ in range(hinted)]


def as_text(tokenizer: PreTrainedTokenizerFast, lesson: Lesson) -> tuple[str, str]:
    """Render prompt and reply, the reply with its end token."""
    prompt = tokenizer.apply_chat_template(lesson.messages, tokenize=False, add_generation_prompt=True)
    return str(prompt), f"{lesson.reply}{tokenizer.eos_token}"


def collate(tokenizer: PreTrainedTokenizerFast, batch: Sequence[Lesson]) -> dict[str, torch.Tensor]:
    """Build right-padded `input_ids`, `attention_mask`, `labels`, `[B, T]` each; labels are -100 outside the reply."""
    rows = []
    for lesson in batch:
        prompt, reply = (tokenizer.encode(text, add_special_tokens=False) for text in as_text(tokenizer, lesson))
        rows.append((prompt, reply))
    longest = max(len(prompt) + len(reply) for prompt, reply in rows)
    pads = [longest - len(prompt) - len(reply) for prompt, reply in rows]
    pad_id = tokenizer.pad_token_id
    return {
        "input_ids": torch.tensor([p + r + [pad_id] * n for (p, r), n in zip(rows, pads, strict=True)]),
        "attention_mask": torch.tensor([[1] * (longest - n) + [0] * n for n in pads]),
        "labels": torch.tensor([[-100] * len(p) + r + [-100] * n for (p, r), n in zip(rows, pads, strict=True)]),
    }


def new_model(tokenizer: PreTrainedTokenizerFast, size: Size) -> LlamaForCausalLM:
    """Create an untrained Llama of this size."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=size.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.05,
    )
    return LlamaForCausalLM(config)


def pretrain(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    steps: Iterator[list[Lesson]],
    *,
    size: Size,
    report: Callable[[str], None],
) -> None:
    """Train in place on plain and hinted lessons alternately."""
    batches = (collate(tokenizer, lessons) for lessons in steps)
    train_in_turn(model, batches, steps=size.steps, learning_rate=size.learning_rate, report=report)


def train_in_turn(
    model: Any,
    batches: Iterator[Mapping[str, Any]],
    *,
    steps: int,
    learning_rate: float,
    report: Callable[[str], None],
) -> None:
    """Train in place with AdamW: a short warm-up, then cosine decay to a tenth of a percent.

    `batches` are the model's keyword arguments, labels included; a step uses two, a plain one and a hinted one.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    warm_up, started = max(1, steps // 20), time.monotonic()
    model.train()
    for step in range(steps):
        progress = max(0, step - warm_up) / max(1, steps - warm_up)
        rate = min(1.0, (step + 1) / warm_up) * (0.001 + 0.999 * (1 + math.cos(math.pi * progress)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate
        losses = []
        for _ in range(2):  # two batches, because their lengths differ
            loss = model(**next(batches)).loss
            loss.backward()
            losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % 50 == 0 or step + 1 == steps:
            report(
                f"step {step + 1}/{steps}  loss plain {losses[0]:.3f} hinted {losses[1]:.3f}  "
                f"{time.monotonic() - started:.0f} s"
            )
    model.eval()
