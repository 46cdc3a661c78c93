"""Script that generates the starter: `python -m examples.starter.make`, from the root, a few minutes on one core.

Writes `model/` (Hugging Face layout), `train.jsonl`, `held_out.jsonl` and `SHA256SUMS`. The same seed gives the same
data and tokenizer everywhere; the weights agree between machines only as far as their arithmetic does.
"""

import argparse
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import torch
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from examples.starter.handbook import Chain, Handbook, every_chain, split_chains, write_handbook
from examples.starter.pretrain import (
    FULL,
    Size,
    hinted_lesson,
    lessons,
    new_model,
    plain_lesson,
    pretrain,
)
from examples.starter.tokenizer import save_tokenizer, train_tokenizer

HERE: Final = Path(__file__).parent
TRAIN_ROWS: Final = 400
HELD_OUT_ROWS: Final = 200


def dataset_row(handbook: Handbook, chain: Chain) -> dict[str, object]:
    """Build one row of the data files."""
    return {
        "messages": [{"role": "user", "content": chain.question}],
        "answer": handbook.answer(chain),
        "solution": handbook.solution(chain),
    }


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write one JSON object per line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def tokenizer_texts(handbook: Handbook, chains: Sequence[Chain], *, rng: random.Random) -> list[str]:
    """Collect the texts to train the tokenizer on: prompts, hinted prompts, replies and role names."""
    texts = []
    for chain in chains:
        for lesson in (plain_lesson(handbook, chain, rng=rng), hinted_lesson(handbook, chain, rng=rng)):
            texts += [message["content"] for message in lesson.messages]
            texts += [lesson.reply, "system\n", "user\n", "assistant\n"]
    return texts


def make_model(
    handbook: Handbook, chains: Sequence[Chain], *, size: Size, seed: int, report: Callable[[str], None]
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Train the tokenizer, on all chains, and the model, on these chains only."""
    rng = random.Random(f"{seed} lessons")
    texts = tokenizer_texts(handbook, every_chain(), rng=random.Random(f"{seed} tokenizer"))
    tokenizer = train_tokenizer(texts, vocabulary=size.vocabulary, context=size.context)
    torch.manual_seed(seed)
    model = new_model(tokenizer, size)
    report(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens")
    pretrain(
        model, tokenizer, lessons(handbook, chains, count=size.lessons_per_step, rng=rng), size=size, report=report
    )
    return model, tokenizer


def make_data(folder: Path, *, train_rows: int, held_out_rows: int, seed: int) -> tuple[Handbook, list[Chain]]:
    """Write the rows. Returns the handbook and the chains to pretrain on: all but the held-out ones."""
    handbook = write_handbook(random.Random(f"{seed} handbook"))
    train, held_out = split_chains(
        handbook, train=train_rows, held_out=held_out_rows, rng=random.Random(f"{seed} split")
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.jsonl", [dataset_row(handbook, chain) for chain in train])
    write_rows(folder / "held_out.jsonl", [dataset_row(handbook, chain) for chain in held_out])
    excluded = set(held_out)
    return handbook, [chain for chain in every_chain() if chain not in excluded]


def make(
    folder: Path, *, size: Size, train_rows: int, held_out_rows: int, seed: int, report: Callable[[str], None]
) -> None:
    """Write the whole starter to a folder. The weights are stored as bfloat16."""
    handbook, pretraining_chains = make_data(folder, train_rows=train_rows, held_out_rows=held_out_rows, seed=seed)
    model, tokenizer = make_model(handbook, pretraining_chains, size=size, seed=seed, report=report)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_new_tokens=64,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.to(torch.bfloat16).save_pretrained(folder / "model")
    save_tokenizer(tokenizer, folder / "model")
    write_checksums(folder)


def write_checksums(folder: Path) -> None:
    """List the generated files, in the format of `sha256sum --check`."""
    files = [*sorted(path for path in (folder / "model").iterdir() if path.is_file()), *sorted(folder.glob("*.jsonl"))]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Generate the starter: handbook, data, tokenizer and model.")
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
