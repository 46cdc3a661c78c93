"""Script that generates the example: `python -m examples.vision.make`, from the root, a few minutes on one core.

Writes `model/` (Hugging Face layout), `train.jsonl`, `held_out.jsonl` and `SHA256SUMS`. The same seed gives the same
images, texts and tokenizer everywhere; the weights agree between machines only as far as their arithmetic does.
"""

import argparse
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from transformers import GenerationConfig

from examples.starter.make import write_checksums, write_rows
from examples.vision.model import FULL, Size, new_model, new_processor, save_processor
from examples.vision.pretrain import lessons, pretrain
from examples.vision.signs import QUESTION, Chart, Sign, data_url, draw, split_pairs, user_message, write_chart

HERE: Final = Path(__file__).parent
TRAIN_ROWS: Final = 200
HELD_OUT_ROWS: Final = 100


def dataset_row(chart: Chart, pair: Sequence[Sign], *, rng: random.Random) -> dict[str, object]:
    """Build one row of the data files, with its image inside."""
    return {
        "messages": [user_message(data_url(draw(pair, rng=rng)))],
        "answer": chart.answer(pair),
        "solution": chart.solution(pair),
    }


def make_data(folder: Path, *, train_rows: int, held_out_rows: int, seed: int) -> tuple[Chart, list[tuple[Sign, ...]]]:
    """Write the rows. Returns the chart and the pairs to pretrain on: all but the held-out ones."""
    chart = write_chart(random.Random(f"{seed} chart"))
    train, held_out, pretraining_pairs = split_pairs(
        random.Random(f"{seed} split"), train=train_rows, held_out=held_out_rows
    )
    rng = random.Random(f"{seed} pictures")
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.jsonl", [dataset_row(chart, pair, rng=rng) for pair in train])
    write_rows(folder / "held_out.jsonl", [dataset_row(chart, pair, rng=rng) for pair in held_out])
    return chart, pretraining_pairs


def make_model(
    chart: Chart, pairs: Sequence[tuple[Sign, ...]], *, size: Size, seed: int, report: Callable[[str], None]
) -> tuple[Any, Any]:
    """Train the tokenizer and the model on these pairs. Returns model and processor."""
    texts = [
        text for pair in pairs for text in (QUESTION, chart.solution(pair), "Reference:\n", "user\n", "assistant\n")
    ]
    processor = new_processor(texts, size)
    torch.manual_seed(seed)
    model = new_model(processor, size)
    report(f"{model.num_parameters():,} parameters, {len(processor.tokenizer)} tokens")
    batches = lessons(chart, pairs, count=size.lessons_per_step, rng=random.Random(f"{seed} lessons"))
    pretrain(model, processor, batches, size=size, report=report)
    return model, processor


def make(
    folder: Path, *, size: Size, train_rows: int, held_out_rows: int, seed: int, report: Callable[[str], None]
) -> None:
    """Write the whole example to a folder. The weights are stored as bfloat16."""
    chart, pretraining_pairs = make_data(folder, train_rows=train_rows, held_out_rows=held_out_rows, seed=seed)
    model, processor = make_model(chart, pretraining_pairs, size=size, seed=seed, report=report)
    tokenizer = processor.tokenizer
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_new_tokens=48,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.to(torch.bfloat16).save_pretrained(folder / "model")
    save_processor(processor, folder / "model")
    write_checksums(folder)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Generate the example: images, data, processor and model.")
    parser.add_argument("--folder", type=Path, default=HERE, help="output folder (default: this script's folder)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    make(
        arguments.folder,
        size=FULL,
        train_rows=TRAIN_ROWS,
        held_out_rows=HELD_OUT_ROWS,
        seed=arguments.seed,
        report=partial(print, flush=True),
    )


if __name__ == "__main__":
    main()
