"""Findings of a pre-flight offer changes of the request that can be tried as they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.core.settings.spec import RlsdSettings
from backend.core.verdict import Finding, Level
from backend.jobs.request import Reinforcement
from backend.jobs.resolve import resolve_settings
from backend.verifiers.specs import parse_spec
from worker.checks.remedies import Situation, as_changes_of_a_job, with_remedies
from worker.engine.types import Task
from worker.training.prepare import PreparedJob

NUMBER = {"type": "number", "name": "n", "reference": "{{item.answer}}"}
PYTHON = {"type": "python", "name": "p", "source": "def grade(sample, item):\n    return 1.0\n"}


def task(row: int, *, solution: str | None = "so") -> Task:
    asked = ({"role": "user", "content": f"q{row}"},)
    return Task(
        row=row,
        messages=asked,
        answer=str(row),
        solution=solution,
        trajectory=None,
        privileged=None,
        item={"answer": str(row)},
    )


def situation(*, rows: int = 10, grader: dict[str, Any] = NUMBER, **changes: Any) -> Situation:
    tasks = changes.pop("tasks", [task(row) for row in range(rows)])
    report = {
        "completions": {"truncated": changes.pop("truncated", 0.0)},
        "prompts": {
            "allowed": changes.pop("allowed", 2048),
            "student": {"tokens_max": 3000},
            "hinted": None,
        },
    }
    models = changes.pop("models", {})
    job = PreparedJob(
        model="small", seed=0, spec=RlsdSettings(**changes), grader=parse_spec(grader), tasks=tasks, held_out=[]
    )
    return Situation(job, report, models)


def remedies(code: str, of: Situation) -> dict[str, Any]:
    """The changes by the remedy's code, in order."""
    [found] = with_remedies([Finding(code, Level.FAIL, "m")], of)
    return {remedy.code: remedy.changes for remedy in found.remedies}


def test_where_nothing_is_solved_an_instruction_comes_before_examples_and_imitation() -> None:
    found = remedies("nothing_solved", situation())
    assert list(found) == ["instruction", "examples", "warm_start"]
    assert found["instruction"] == {
        "x_rlsd": {"instruction": "Think step by step, then write `Answer: <number>` on the last line."}
    }
    assert found["examples"]["x_rlsd"]["example_rows"] == [9, 8, 7]
    assert found["examples"]["x_rlsd"]["instruction"].startswith("Examples:\n\nQuestion: q9\nso")
    assert found["warm_start"] == {"x_rlsd": {"warm_start": {"rows": 10, "target": "solution"}}}


def test_what_has_been_tried_is_not_offered_again() -> None:
    tried = situation(instruction="Add.", example_rows=(3,), warm_start={"rows": 4})
    assert remedies("nothing_solved", tried) == {"longer_warm_start": {"x_rlsd": {"warm_start": {"epochs": 4}}}}
    kept = remedies("nothing_solved", situation(instruction="Add."))
    assert "instruction" not in kept
    assert kept["examples"]["x_rlsd"]["instruction"].startswith("Add.\n\nExamples:")


def test_a_verifier_that_may_expect_any_form_gets_no_instruction() -> None:
    assert list(remedies("nothing_solved", situation(grader=PYTHON))) == ["examples", "warm_start"]


def test_answers_are_imitated_where_there_are_no_solutions_and_64_rows_are_enough() -> None:
    answers = [task(row, solution=None) for row in range(100)]
    found = remedies("nothing_solved", situation(tasks=answers))
    assert found["warm_start"] == {"x_rlsd": {"warm_start": {"rows": 64, "target": "answer"}}}
    nothing = [replace(each, answer=None) for each in answers]
    assert "warm_start" not in remedies("nothing_solved", situation(tasks=nothing))
    assert "examples" not in remedies("nothing_solved", situation(tasks=nothing))


def test_room_is_offered_where_answers_are_cut_off() -> None:
    assert "longer_completions" not in remedies("nothing_solved", situation(truncated=0.4))
    found = remedies("truncated", situation(truncated=0.6, max_completion_tokens=64))
    assert found["longer_completions"] == {"x_rlsd": {"max_completion_tokens": 128}}


def test_long_prompts_are_allowed_unless_the_model_has_no_room() -> None:
    assert remedies("prompts_too_long", situation()) == {"longer_prompts": {"x_rlsd": {"max_prompt_tokens": 3000}}}
    assert remedies("prompts_too_long", situation(allowed=1000)) == {}


def test_the_smallest_model_that_is_larger_is_offered(tmp_path: Path) -> None:
    models = {"hub": "organisation/name"}
    for name, size in (("small", 10), ("huge", 1000), ("large", 100)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"0" * size)
        models[name] = str(tmp_path / name)
    assert remedies("nothing_solved", situation(models=models))["larger_model"] == {"model": "large"}
    models["small"] = models["huge"]
    assert "larger_model" not in remedies("nothing_solved", situation(models=models))


@pytest.mark.parametrize(
    ("code", "changes", "offered"),
    [
        ("few_mixed_groups", {}, ["informative_rows", "resampling", "warm_start"]),
        ("few_mixed_groups", {"sampling": "informative", "resample_rounds": 1}, ["warm_start"]),
        ("hint_does_not_help", {}, ["solution_hint", "without_hint"]),
        ("hint_does_not_help", {"hint": "solution"}, ["without_hint"]),
        ("no_difference", {"temperature": 0.5}, ["temperature", "instruction", "examples", "warm_start"]),
        ("mixed_groups", {}, []),
    ],
)
def test_each_finding_has_its_own(code: str, changes: dict[str, Any], offered: list[str]) -> None:
    assert list(remedies(code, situation(**changes))) == offered


def test_every_change_is_one_that_a_request_may_make() -> None:
    for code in ("nothing_solved", "few_mixed_groups", "hint_does_not_help", "truncated", "prompts_too_long"):
        of = situation(truncated=1.0, temperature=0.5)
        for changes in remedies(code, of).values():
            request = Reinforcement.model_validate({"grader": NUMBER, "x_rlsd": changes["x_rlsd"]})
            assert resolve_settings(request, row_count=10)


def test_in_a_job_changes_are_those_of_its_request() -> None:
    [found] = with_remedies([Finding("nothing_solved", Level.FAIL, "m")], situation(models={}))
    changes = as_changes_of_a_job(found).remedies[0].changes
    assert list(changes["method"]["reinforcement"]["x_rlsd"]) == ["instruction"]
