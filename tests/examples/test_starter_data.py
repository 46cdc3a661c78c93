"""The starter's rows, their two verifiers and the job that goes with them."""

import json
import random
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.settings.spec import RlsdSettings
from backend.jobs.request import JobRequest
from backend.jobs.resolve import resolve_settings
from backend.verifiers.specs import Python, Regex, parse_spec
from examples.starter import make, verifier
from examples.starter.handbook import (
    ENTITIES,
    Chain,
    every_chain,
    narrate,
    split_chains,
    write_handbook,
)

STARTER = Path(make.__file__).parent
Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (STARTER / name).read_text().splitlines()]


TRAIN, HELD_OUT = rows("train.jsonl"), rows("held_out.jsonl")


def regex_spec() -> Regex:
    spec = parse_spec(json.loads((STARTER / "verifier_regex.json").read_text()))
    assert isinstance(spec, Regex)
    return spec


def by_python(text: str, row: Row) -> float:
    return verifier.grade({"output_text": text}, row)


def by_regex(text: str, row: Row) -> float:
    """What the spec says in words: the first match's group `answer`, stripped, is the row's answer."""
    match = regex_spec().compiled().search(text)
    return float(match is not None and match["answer"].strip() == row["answer"])


VERIFIERS = pytest.mark.parametrize("score", [by_python, by_regex])


def facts(row: Row) -> set[str]:
    return set(re.findall(r"^The .*$", row["solution"], flags=re.MULTILINE))


def test_the_files_are_what_the_script_writes_today(tmp_path: Path) -> None:
    make.make_data(tmp_path, train_rows=make.TRAIN_ROWS, held_out_rows=make.HELD_OUT_ROWS, seed=0)
    for name in ("train.jsonl", "held_out.jsonl"):
        assert (tmp_path / name).read_bytes() == (STARTER / name).read_bytes()


def test_no_question_is_asked_twice() -> None:
    questions = [row["messages"][-1]["content"] for row in TRAIN + HELD_OUT]
    assert len(set(questions)) == len(questions) == 600


def test_held_out_chains_use_facts_that_training_chains_use() -> None:
    known = set().union(*(facts(row) for row in TRAIN))
    assert len(known) > 250
    assert all(facts(row) <= known for row in HELD_OUT)


def test_a_question_does_not_give_its_answer_away() -> None:
    assert not [row for row in TRAIN + HELD_OUT if row["answer"] in row["messages"][-1]["content"]]


@VERIFIERS
def test_the_solution_scores_full_marks(score: Callable[[str, Row], float]) -> None:
    for row in TRAIN + HELD_OUT:
        assert score(row["solution"], row) == 1.0
        assert score(row["solution"] + ".\n", row) == 1.0
        assert score(f"Answer: {row['answer']}", row) == 1.0


@VERIFIERS
def test_what_is_not_the_answer_scores_nothing(score: Callable[[str, Row], float]) -> None:
    listed = ", ".join(name for names in ENTITIES.values() for name in names)
    for row, other in pairwise(HELD_OUT):
        for text in (
            "",
            row["messages"][-1]["content"],
            row["answer"],
            f"Answer: {listed}",
            f"Answer: {row['answer']}\nAnswer: none",
            row["solution"].rsplit("\n", 1)[0],
        ):
            assert score(text, row) == 0.0, text
        assert score(other["solution"], row) == float(other["answer"] == row["answer"])


@given(
    st.sampled_from(HELD_OUT).flatmap(
        lambda row: st.tuples(
            st.just(row),
            st.lists(st.text(max_size=3) | st.sampled_from(["Answer:", " ", "\n", ".", row["answer"]])).map("".join),
        )
    )
)
def test_the_two_verifiers_agree_on_any_text(case: tuple[Row, str]) -> None:
    row, text = case
    assert by_python(text, row) == by_regex(text, row)


def test_the_python_verifier_is_accepted_as_it_stands() -> None:
    spec = parse_spec({"type": "python", "source": (STARTER / "verifier.py").read_text()})
    assert isinstance(spec, Python)
    assert spec.entry_point.function == "grade"
    assert spec.entry_point.signature.name == "openai"


def job_settings() -> RlsdSettings:
    body = json.loads((STARTER / "job.json").read_text())
    body |= {"training_file": "file-1", "validation_file": "file-2"}
    body["method"]["reinforcement"]["grader"] = regex_spec().model_dump(exclude_defaults=True)
    request = JobRequest.model_validate(body)
    return resolve_settings(request.method.reinforcement, row_count=len(TRAIN))


def test_the_job_is_accepted_and_asks_for_what_the_rows_have() -> None:
    settings = job_settings()
    assert settings.preset == "steady"
    assert settings.hint == "solution"
    assert all(row["solution"].endswith(f"Answer: {row['answer']}") for row in TRAIN)


def test_a_chain_is_told_as_it_is_walked() -> None:
    handbook = write_handbook(random.Random(5))
    chain = Chain("anvil", ("category", "buyer", "tier"))
    first, second, third = handbook.walk(chain)
    assert (first, second[1], third[1]) == (("anvil", "category"), "buyer", "tier")
    assert second[0] == handbook.facts[first]
    assert handbook.solution(chain) == narrate((*fact, handbook.facts[fact]) for fact in (first, second, third))
    assert handbook.answer(chain) == handbook.facts[third]


def test_a_decoy_is_another_value_of_the_same_kind() -> None:
    handbook = write_handbook(random.Random(5))
    for (subject, relation), value in handbook.facts.items():
        decoy = handbook.decoys[subject, relation]
        assert decoy != value
        assert {decoy, value} <= set(ENTITIES[relation])


def test_chains_that_cannot_be_split_are_refused() -> None:
    rng = random.Random(0)
    handbook = write_handbook(rng)
    with pytest.raises(ValueError, match="only 864 chains"):
        split_chains(handbook, train=800, held_out=len(every_chain()) - 799, rng=rng)
    with pytest.raises(ValueError, match=r"only \d+ chains use facts of the 5 training chains"):
        split_chains(handbook, train=5, held_out=100, rng=rng)
