"""The signs: pictures and rows, what the committed model sees and knows, and that its script makes such a folder."""

import base64
import dataclasses
import hashlib
import io
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops
from transformers import AutoConfig, AutoModelForImageTextToText

from backend.verifiers.specs import Python, parse_spec
from examples.vision import make
from examples.vision.model import FULL
from examples.vision.signs import SIGNS, blank, draw, split_pairs, write_chart
from examples.vision.verifier import grade
from worker.engine.model.loading import load_processor
from worker.engine.rollouts.prompts import with_hint

FOLDER = Path(make.__file__).parent
TINY = dataclasses.replace(
    FULL, width=24, layers=1, heads=2, feed_forward=16, vision_width=16, vision_layers=1, steps=2
)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


TRAIN, HELD_OUT = rows(FOLDER, "train.jsonl"), rows(FOLDER, "held_out.jsonl")


def picture_of(row: dict[str, Any]) -> Image.Image:
    address = row["messages"][0]["content"][0]["image_url"]["url"]
    return Image.open(io.BytesIO(base64.b64decode(address.partition("base64,")[2])))


@pytest.fixture(scope="module")
def seeing() -> Iterator[tuple[Any, Any]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = str(FOLDER / "model")
    processor = load_processor(folder, config=AutoConfig.from_pretrained(folder))
    yield AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32), processor
    torch.set_num_threads(threads)


def accuracy(seeing: tuple[Any, Any], *, hint: str | None = None, look: Any = lambda picture: picture) -> float:
    """Share of right answers, one sample each, by transformers' own generation."""
    model, processor = seeing
    texts, pictures = [], []
    for row in HELD_OUT:
        messages = row["messages"] if hint is None else with_hint(row["messages"], hint=row[hint], row=0)
        texts.append(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        pictures.append(look(picture_of(row)))
    inputs = processor(text=texts, images=pictures, return_tensors="pt", padding=True, padding_side="left")
    torch.manual_seed(0)
    written = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
    found = processor.tokenizer.batch_decode(written, skip_special_tokens=True)
    return sum(grade({"output_text": text}, row) for text, row in zip(found, HELD_OUT, strict=True)) / len(HELD_OUT)


def test_every_file_is_the_one_that_was_recorded() -> None:
    recorded = dict(reversed(line.split("  ")) for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    assert {path.relative_to(FOLDER).as_posix() for path in (FOLDER / "model").iterdir()} <= recorded.keys()
    for name, digest in recorded.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_the_rows_are_what_the_script_writes_today(tmp_path: Path) -> None:
    make.make_data(tmp_path, train_rows=make.TRAIN_ROWS, held_out_rows=make.HELD_OUT_ROWS, seed=0)
    for name in ("train.jsonl", "held_out.jsonl"):
        for written, kept in zip(rows(tmp_path, name), rows(FOLDER, name), strict=True):
            # Another Pillow may pack the same pixels into other bytes.
            assert ImageChops.difference(picture_of(written), picture_of(kept)).getbbox() is None
            assert {**written, "messages": None} == {**kept, "messages": None}


def test_no_pair_of_signs_is_both_taught_and_held_out() -> None:
    train, held_out, taught = split_pairs(random.Random(1), train=200, held_out=100)
    assert not set(held_out) & (set(train) | set(taught))
    assert len({row["answer"] for row in TRAIN + HELD_OUT}) == 300
    assert {word for row in TRAIN for word in row["answer"].split()} == {
        word for row in HELD_OUT for word in row["answer"].split()
    }, "every sign of the held-out rows is met in training"


def test_every_sign_means_one_thing_and_never_its_decoy() -> None:
    chart = write_chart(random.Random(1))
    assert len(set(chart.meanings.values())) == len(SIGNS) == 24
    assert all(chart.meanings[sign] != chart.decoys[sign] for sign in SIGNS)


def test_signs_look_different_and_the_same_sign_never_twice_the_same() -> None:
    pixels = [draw([sign], rng=random.Random(1)).tobytes() for sign in SIGNS]
    assert len(set(pixels)) == len(SIGNS)
    rng = random.Random(1)
    assert len({draw([SIGNS[0]], rng=rng).tobytes() for _ in range(20)}) == 20


def test_the_solution_scores_full_marks_and_other_texts_none() -> None:
    for row, other in itertools.pairwise(TRAIN):
        assert grade({"output_text": row["solution"]}, row) == 1.0
        for text in ("", row["answer"], other["solution"], f"Answer: {row['answer'].split()[0]}"):
            assert grade({"output_text": text}, row) == 0.0
    spec = parse_spec({"type": "python", "source": (FOLDER / "verifier.py").read_text()})
    assert isinstance(spec, Python)


def test_the_model_is_partly_right_uses_hints_and_is_lost_without_the_picture(seeing: tuple[Any, Any]) -> None:
    """Measured at four samples each: .24, .99, .99, 0."""
    assert 0.1 < accuracy(seeing) < 0.4
    assert accuracy(seeing, hint="solution") > 0.9
    assert accuracy(seeing, hint="answer") > 0.9
    assert accuracy(seeing, look=blank) < 0.05


def test_the_script_makes_a_folder_that_loads(tmp_path: Path) -> None:
    said: list[str] = []
    make.make(tmp_path, size=TINY, train_rows=4, held_out_rows=4, seed=0, report=said.append)
    folder = str(tmp_path / "model")
    config = AutoConfig.from_pretrained(folder)
    processor = load_processor(folder, config=config)
    model, loading = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"]
    text = processor.apply_chat_template(TRAIN[0]["messages"], tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=[picture_of(TRAIN[0])], return_tensors="pt")
    assert (inputs["input_ids"] == config.image_token_id).sum() == 8
    assert model(**inputs).logits.shape[:2] == inputs["input_ids"].shape
    assert any("2/2" in line for line in said)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "train.jsonl", "held_out.jsonl", "SHA256SUMS"}
