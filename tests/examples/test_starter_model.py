"""The starter's model: what was committed, what it knows, and that its script makes such a folder."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.starter import make
from examples.starter.pretrain import FULL
from examples.starter.verifier import grade
from worker.engine.rollouts.prompts import HINT_BLOCK, with_hint

STARTER = Path(make.__file__).parent
QUESTIONS = [json.loads(line) for line in (STARTER / "held_out.jsonl").read_text().splitlines()][:50]
TOKENIZER = AutoTokenizer.from_pretrained(STARTER / "model")
TINY = dataclasses.replace(FULL, width=16, layers=1, heads=2, feed_forward=16, vocabulary=400, steps=3)


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield AutoModelForCausalLM.from_pretrained(STARTER / "model", dtype=torch.float32)
    torch.set_num_threads(threads)


def accuracy(model: Any, *, hinted: bool, samples: int) -> float:
    """Share of right answers among `samples` completions a question, at temperature 1."""
    prompts = []
    for row, question in enumerate(QUESTIONS):
        messages = question["messages"]
        messages = with_hint(messages, hint=question["solution"], row=row) if hinted else messages
        prompts.append(TOKENIZER.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    inputs = TOKENIZER(prompts, return_tensors="pt", padding=True, padding_side="left", return_token_type_ids=False)
    torch.manual_seed(0)
    written = model.generate(**inputs, num_return_sequences=samples)[:, inputs["input_ids"].shape[1] :]
    texts = TOKENIZER.batch_decode(written, skip_special_tokens=True)
    scores = [grade({"output_text": text}, QUESTIONS[place // samples]) for place, text in enumerate(texts)]
    return sum(scores) / len(scores)


def checksums(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_every_file_is_the_one_that_was_recorded() -> None:
    recorded = checksums(STARTER)
    assert {path.relative_to(STARTER).as_posix() for path in (STARTER / "model").iterdir()} <= recorded.keys()
    for name, digest in recorded.items():
        assert hashlib.sha256((STARTER / name).read_bytes()).hexdigest() == digest, name


def test_the_model_is_small_enough_to_come_with_the_code(model: Any) -> None:
    assert 700_000 < model.num_parameters() < 1_200_000
    assert sum(path.stat().st_size for path in (STARTER / "model").iterdir()) < 2_000_000


@given(st.binary().map(lambda raw: raw.decode("utf-8", errors="replace")) | st.text())
def test_any_text_comes_back_from_the_tokenizer(text: str) -> None:
    text = text.encode("utf-8", errors="replace").decode()  # a lone surrogate is not text that a file can hold
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) == text


def test_the_alphabet_holds_all_256_bytes() -> None:
    alphabet = [token for token in TOKENIZER.get_vocab() if len(token) == 1]
    assert len(alphabet) == 256


def test_a_chat_begins_and_ends_as_the_model_learnt_it() -> None:
    messages = [{"role": "user", "content": "Start at anvil."}, {"role": "assistant", "content": "Answer: x"}]
    chat = TOKENIZER.apply_chat_template(messages, tokenize=False)
    opened = TOKENIZER.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert chat == f"{opened}Answer: x{TOKENIZER.eos_token}\n"
    assert len({TOKENIZER.eos_token_id, TOKENIZER.pad_token_id}) == 2


def test_the_base_knows_the_form_and_answers_about_one_time_in_five(model: Any) -> None:
    assert 0.12 <= accuracy(model, hinted=False, samples=8) <= 0.27


def test_shown_the_solution_it_follows_it(model: Any) -> None:
    assert accuracy(model, hinted=True, samples=1) >= 0.95


def test_the_teacher_still_reads_the_block_that_the_model_was_taught() -> None:
    """Whoever changes the block must make the starter again, or its teacher is no oracle any more."""
    assert HINT_BLOCK == "\n\nReference:\n{hint}"


def test_the_script_makes_a_folder_that_loads_and_twice_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    for name in ("first", "second"):
        make.make(tmp_path / name, size=TINY, train_rows=300, held_out_rows=20, seed=3, report=said.append)
    assert checksums(tmp_path / "first") == checksums(tmp_path / "second")
    assert len(checksums(tmp_path / "first")) == len(checksums(STARTER))
    assert said[-1].startswith("step 3/3")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "first" / "model")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "first" / "model")
    ids = tokenizer("Start at anvil.", return_tensors="pt", return_token_type_ids=False)["input_ids"]
    assert loaded(input_ids=ids).logits.shape == (1, ids.shape[1], len(tokenizer))
    assert loaded.dtype == torch.bfloat16
