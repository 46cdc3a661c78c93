"""Rescoring of a job's completions over HTTP with a real worker."""

import time
from typing import Any

import pytest
from sqlalchemy import delete

from backend.db.engine import transaction
from backend.db.files import DatasetRow
from backend.db.training import Rollout
from tests.service.conftest import EXACT, Api, answered, refused

LENIENT = {**EXACT, "name": "lenient", "operation": "like"}
GROUP = 4


def with_completions(api: Api, *, steps: int, rows: int = 4, **changes: Any) -> str:
    """Store a job with `GROUP` completions per row and step: one right, one right with an extra word."""
    job = api.job(**changes, x_rlsd={"num_generations": GROUP, "batch_size": rows, "max_steps": steps})
    with transaction() as session:
        for step in range(1, steps + 1):
            session.add_all(rollout(job["id"], step=step, number=number) for number in range(GROUP * rows))
    return str(job["id"])


def rollout(job_id: str, *, step: int, number: int) -> Rollout:
    row, sample = divmod(number, GROUP)
    right = f"twice {row}\n#### {2 * row}"
    completion = [right, f"It is {right}", "no idea", ""][sample]
    score = float(completion == right)
    record = {"score": score, "status": "ok", "reason": None, "components": {}, "ms": 0.1}
    return Rollout(
        job_id=job_id,
        step=step,
        number=number,
        row=row,
        sample=sample,
        completion=completion,
        record=record,
        advantage=1.5 if score else -0.5,
        truncated=False,
        has_tokens=False,
    )


def with_practice(job_id: str, *, step: int) -> None:
    """Store a practised group after the others, all of whose scores a more lenient verifier changes."""
    with transaction() as session:
        for sample in range(GROUP):
            practised = rollout(job_id, step=step, number=1)
            practised.number, practised.sample, practised.hint = 4 * GROUP + sample, sample, "the solution"
            session.add(practised)


def finished(api: Api, check: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while check["status"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        check = answered(api.http.get(f"/v1/checks/{check['id']}"))
    return check


def result_of(check: dict[str, Any]) -> dict[str, Any]:
    assert check["status"] == "done", check["error"]
    result: dict[str, Any] = check["result"]
    return result


def rescored(api: Api, job_id: str, **body: Any) -> dict[str, Any]:
    check = answered(api.http.post(f"/v1/fine_tuning/jobs/{job_id}/rescore", json=body))
    assert (check["kind"], check["job_id"]) == ("rescore", job_id)
    return finished(api, check)


@pytest.mark.usefixtures("check_worker")
def test_a_more_lenient_verifier_is_compared_row_by_row(api: Api) -> None:
    job_id = with_completions(api, steps=2)
    result = result_of(rescored(api, job_id, grader=LENIENT))
    assert (result["completions"], result["changed"], result["same_verifier"]) == (32, 8, False)
    assert (result["mean_before"], result["mean_after"]) == (0.25, 0.5)
    changes = {(line["before"], line["after"]): line["count"] for line in result["transitions"]}
    assert changes == {("right", "right"): 8, ("wrong", "right"): 8, ("wrong", "wrong"): 16}
    assert [(row["row"], row["line"], row["changed"]) for row in result["rows"]] == [(n, n + 1, 2) for n in range(4)]
    assert result["training"]["groups"] == 8
    assert result["training"]["signs_changed"] == 8
    example = result["examples"][0]
    assert example["completion"].startswith("It is twice")
    assert (example["before"]["score"], example["after"]["score"]) == (0.0, 1.0)
    assert result["summary"].startswith("8 of 32 completions (25.0%) change score")


@pytest.mark.usefixtures("check_worker")
def test_how_the_numbers_of_the_file_are_read_is_told(api: Api) -> None:
    rows = [{"question": f"{n}?", "answer": f"{2 * n},5"} for n in range(20)]
    job_id = with_completions(api, steps=1, training_file=answered(api.upload(*rows))["id"])
    (notice,) = result_of(rescored(api, job_id, grader={"type": "number"}))["notices"]
    assert (notice["code"], "written with a decimal comma" in notice["message"]) == ("decimal_mark", True)


@pytest.mark.usefixtures("check_worker")
def test_the_same_verifier_gives_the_same_scores(api: Api) -> None:
    job_id = with_completions(api, steps=1)
    saved = answered(api.http.post("/v1/verifiers", json={"name": "exact", "grader": EXACT}))
    check = rescored(api, job_id, grader={"type": "saved", "id": saved["id"]})
    assert check["progress"]["unit"] == "completions"
    assert (check["result"]["changed"], check["result"]["same_verifier"]) == (0, True)
    assert check["result"]["verifier"] == {"id": saved["id"], "version": 1}
    listed = answered(api.http.get("/v1/checks", params={"job": job_id, "kind": "rescore"}))["data"]
    assert [one["id"] for one in listed] == [check["id"]]


@pytest.mark.usefixtures("check_worker")
@pytest.mark.parametrize(
    ("body", "completions", "groups", "incomplete"),
    [
        ({"steps": {"from": 2}}, 32, 8, 0),
        ({"steps": {"from": 2, "to": 2}}, 16, 4, 0),
        ({"steps": {"to": 1}, "limit": 5}, 5, 1, 1),
        ({"limit": 18}, 18, 4, 1),
    ],
)
def test_steps_and_limit_choose_the_newest(
    api: Api, body: dict[str, Any], completions: int, groups: int, incomplete: int
) -> None:
    job_id = with_completions(api, steps=3)
    for step in (1, 2, 3):
        with_practice(job_id, step=step)
    result = result_of(rescored(api, job_id, grader=LENIENT, **body))
    assert result["completions"] == completions, "those of practice are left out"
    assert (result["training"]["groups"], result["training"]["groups_incomplete"]) == (groups, incomplete)


@pytest.mark.usefixtures("check_worker")
def test_more_than_a_chunk_is_graded_once_each(api: Api) -> None:
    job_id = with_completions(api, steps=40)
    result = result_of(rescored(api, job_id, grader=LENIENT, limit=20_000))
    assert (result["completions"], result["training"]["groups"], result["training"]["groups_incomplete"]) == (
        640,
        160,
        0,
    )


def test_what_cannot_be_scored_again_is_refused_at_once(api: Api) -> None:
    empty = f"/v1/fine_tuning/jobs/{api.job()['id']}/rescore"
    refused(api.http.post(empty, json={"grader": LENIENT}), status=400, code="no_rollouts")
    path = f"/v1/fine_tuning/jobs/{with_completions(api, steps=2)}/rescore"
    late = {"grader": LENIENT, "steps": {"from": 3}}
    assert refused(api.http.post(path, json=late), status=400, code="no_rollouts")["param"] == "steps"
    backwards = {"grader": LENIENT, "steps": {"from": 2, "to": 1}}
    assert refused(api.http.post(path, json=backwards), status=400)["param"] == "steps.from"
    unfit = {"grader": {**LENIENT, "reference": "{{item.total}}"}}
    error = refused(api.http.post(path, json=unfit), status=400, code="unknown_template_path")
    assert error["param"] == "grader.reference"
    assert "'total' is not in item" in error["message"]
    refused(api.http.post(path, json={"grader": LENIENT, "limit": 20_001}), status=400)
    refused(api.http.post(path, json={"grader": {"type": "saved", "id": "ver-none"}}), status=400)
    assert answered(api.http.get("/v1/checks", params={"kind": "rescore"}))["data"] == []


@pytest.mark.usefixtures("check_worker")
def test_a_row_that_has_gone_is_named(api: Api) -> None:
    job_id = with_completions(api, steps=1)
    with transaction() as session:
        session.execute(delete(DatasetRow).where(DatasetRow.number == 2))
    error = rescored(api, job_id, grader=LENIENT)["error"]
    assert error["code"] == "row_not_found"
    assert "Row 2" in error["message"]
