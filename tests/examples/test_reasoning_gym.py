"""The sums from reasoning-gym: rows, verifier, and the script that made them."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.verifiers.specs import Python, parse_spec
from examples.reasoning_gym import make
from examples.reasoning_gym.verifier import grade
from tests.reasoning_gym import needs_reasoning_gym

FOLDER = Path(make.__file__).parent


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


ROWS = rows("train.jsonl") + rows("held_out.jsonl")


@needs_reasoning_gym
def test_the_files_are_what_the_script_writes_today(tmp_path: Path) -> None:
    make.make(tmp_path, train_rows=make.TRAIN_ROWS, held_out_rows=make.HELD_OUT_ROWS, seed=0)
    for name in ("train.jsonl", "held_out.jsonl"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_no_question_is_asked_twice() -> None:
    assert len({row["question"] for row in ROWS}) == len(ROWS) == 300


def test_the_answer_in_a_sentence_scores_full_marks() -> None:
    for row in ROWS:
        for text in (row["answer"], f"The answer is {row['answer']}.", f"First 1 + 1 = 2, so **{row['answer']}**"):
            assert grade(row, text) == 1.0


def test_copying_the_question_or_saying_nothing_scores_nothing() -> None:
    for row in ROWS:
        for text in ("", "none", row["question"], f"{row['answer']} or {int(row['answer']) + 1}", "9" * 400, "."):
            assert grade(row, text) == 0.0


@pytest.mark.parametrize(
    ("text", "score"),
    [("-1,024", 1.0), ("-1024.0", 1.0), ("1024", 0.0), ("x = -1024", 1.0), ("v-1024", 0.0), ("-1024.5", 0.0)],
)
def test_numbers_are_read_as_people_write_them(text: str, score: float) -> None:
    assert grade({"answer": "-1024"}, text) == score


@needs_reasoning_gym
def test_it_agrees_with_the_package_s_own_scorer_on_bare_numbers() -> None:
    import reasoning_gym

    dataset = reasoning_gym.create_dataset("chain_sum", size=1, seed=0)
    for row in ROWS:
        for number in (int(row["answer"]), int(row["answer"]) + 1, -int(row["answer"])):
            assert grade(row, str(number)) == float(dataset.score_answer(str(number), entry=row) == 1.0)


def test_the_verifier_is_accepted_in_its_short_form() -> None:
    spec = parse_spec({"type": "python", "source": (FOLDER / "verifier.py").read_text()})
    assert isinstance(spec, Python)
    assert spec.entry_point.signature.name == "short"
