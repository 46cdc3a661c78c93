"""The pre-flight and the teacher preview over HTTP, on the starter with a worker of `sample`."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from backend import blobs
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.projects import DEFAULT_PROJECT
from backend.db.training import Checkpoint
from backend.jobs import control
from backend.jobs.lifecycle import JobState
from tests.processes import wait_for
from tests.service.conftest import EXACT, Api, answered, refused
from tests.service.training import ended, queued_job

STARTER = Path(__file__).parents[2] / "examples" / "starter"
SETTINGS = {"preset": "steady", "max_completion_tokens": 64, "max_prompt_tokens": 256, "device": "cpu"}
GRADER = {"type": "python", "name": "starter", "source": (STARTER / "verifier.py").read_text()}
PREFLIGHT, PREVIEW = "/v1/fine_tuning/preflight", "/v1/fine_tuning/teacher-preview"


@pytest.fixture
def starter_rows(api: Api) -> str:
    """Upload the starter's first rows and return the file id."""
    lines = (STARTER / "train.jsonl").read_bytes().splitlines(keepends=True)[:40]
    return str(answered(api.upload_bytes(b"".join(lines)))["id"])


def body(file: str, **changes: Any) -> dict[str, Any]:
    return {"model": "starter", "training_file": file, "grader": GRADER, "x_rlsd": SETTINGS} | changes


def finished(api: Api, check: dict[str, Any], *, timeout_s: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while check["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, check
        time.sleep(0.2)
        check = answered(api.http.get(f"/v1/checks/{check['id']}"))
    return check


def test_the_starter_is_ready_to_be_trained_and_its_hint_helps(api: Api, sample_worker: int, starter_rows: str) -> None:
    queued_check = answered(api.http.post(PREFLIGHT, json=body(starter_rows, rows=8, samples=8)))
    assert queued_check["status"] == "queued"
    assert queued_check["file_id"] == starter_rows
    check = finished(api, queued_check)
    assert check["status"] == "done", check["error"]
    assert check["progress"]["unit"] == "completions"
    report = check["result"]
    assert report["verdict"] == "pass", report["summary"]
    assert {found["level"] for found in report["findings"]} == {"pass"}
    assert 0.05 < report["solve_rate"]["mean"] < 0.45
    assert report["mixed"]["unbiased"]
    assert sum(entry["rows"] for entry in report["histogram"]) == report["rows"] == 8
    assert report["hint"]["kind"] == "solution"
    assert report["hint"]["difference"]["low"] > 0.3
    assert report["time"]["step_measured"]
    assert report["time"]["total_tokens"]["mean"] > 0
    job = {"type": "reinforcement", "reinforcement": {"grader": GRADER, "x_rlsd": SETTINGS}}
    estimate = {"model": "starter", "training_file": starter_rows, "method": job}
    estimated = answered(api.http.post("/v1/fine_tuning/jobs/estimate", json=estimate))
    assert (estimated["preflight"], estimated["steps"], estimated["device_name"]) == (check["id"], 2, "cpu")
    assert estimated["total_s"]["median"] > estimated["step_s"]["median"] * 200
    assert report["time"]["total_s"]["mean"] == pytest.approx(200 * report["time"]["step_s"]["mean"])
    assert all(row["question"].startswith("Start at") for row in report["per_row"])


def test_two_instructions_are_compared_on_the_same_rows(api: Api, sample_worker: int, starter_rows: str) -> None:
    source = "def reward(prompts, completions, **kwargs):\n    return [float('e' in text) for text in completions]\n"
    vowels = {"type": "python", "name": "vowels", "source": source}
    compared = body(starter_rows, rows=6, samples=4, grader=vowels, instructions=["", "Use no vowels. " * 3])
    check = finished(api, answered(api.http.post(PREFLIGHT, json=compared)))
    report = check["result"]
    found = report["instructions"]
    assert found["rows"] == 6
    assert found["solve_rates"][0] == pytest.approx(report["solve_rate"]["mean"])
    first, second = found["solve_rates"]
    assert found["difference"]["mean"] == pytest.approx(second - first)
    assert found["difference"]["low"] <= second - first <= found["difference"]["high"]
    [said] = [each for each in report["findings"] if each["code"] == "instructions_compared"]
    assert f"{second:.0%} with the second" in said["message"]
    for other in ({"instruction": "Be brief."}, {"warm_start": {"rows": 4}}):
        both = compared | {"x_rlsd": SETTINGS | other}
        assert refused(api.http.post(PREFLIGHT, json=both), status=400)["param"] == "instructions"
    malformed = compared | {"x_rlsd": SETTINGS | {"warm_start": [None, None]}}
    assert refused(api.http.post(PREFLIGHT, json=malformed), status=400)["param"] == "x_rlsd.warm_start"


def test_a_warm_start_is_tried_on_the_rows_that_a_job_trains_on(
    api: Api, sample_worker: int, starter_rows: str
) -> None:
    warm = SETTINGS | {"warm_start": {"rows": 40, "epochs": 1}, "held_out_share": 0.5}
    check = finished(api, answered(api.http.post(PREFLIGHT, json=body(starter_rows, rows=2, samples=2, x_rlsd=warm))))
    assert check["status"] == "done", check["error"]
    assert (check["result"]["of_rows"], check["result"]["warm_steps"]) == (20, 3), "20 of 40 rows, in batches of 8"


def test_a_killed_pre_flight_reports_it(api: Api, sample_worker: int, starter_rows: str) -> None:
    queued_check = answered(api.http.post(PREFLIGHT, json=body(starter_rows, rows=40, samples=64)))
    worker = psutil.Process(sample_worker)

    def at_work() -> int | None:
        below = worker.children(recursive=True)
        return next((process.pid for process in below if queued_check["id"] in " ".join(process.cmdline())), None)

    os.kill(wait_for(at_work, timeout_s=60, what="the process of the pre-flight"), signal.SIGKILL)
    check = finished(api, queued_check)
    assert check["status"] == "failed"
    assert "was killed" in check["error"]["message"]


def test_a_verifier_that_never_passes_fails_the_pre_flight(api: Api, sample_worker: int, starter_rows: str) -> None:
    source = "def grade(sample, item):\n    return 0.0\n"
    never = {"type": "python", "name": "never", "source": source}
    queued_check = answered(api.http.post(PREFLIGHT, json=body(starter_rows, rows=2, samples=4, grader=never)))
    report = finished(api, queued_check)["result"]
    assert report["verdict"] == "fail"
    assert report["findings"][0]["code"] == "nothing_solved"
    assert len(report["never_solved"]) == 2


def test_it_says_how_the_request_was_interpreted(api: Api, sample_worker: int) -> None:
    file = api.upload(*({"question": f"How many in box {n}?", "answer": f"{n},234"} for n in range(1, 9))).json()["id"]
    request = body(file, rows=2, samples=2, grader={"type": "number"}, x_rlsd={"hint": "answer", "fold_system": True})
    report = finished(api, answered(api.http.post(PREFLIGHT, json=request)))["result"]
    levels = {found["code"]: found["level"] for found in report["findings"]}
    assert (levels["decimal_mark"], levels["system_folded"]) == ("warn", "pass")


def test_errors_found_by_the_worker_name_parameters_of_the_request(
    api: Api, sample_worker: int, starter_rows: str
) -> None:
    long = SETTINGS | {"max_completion_tokens": 100_000}
    check = finished(api, answered(api.http.post(PREFLIGHT, json=body(starter_rows, x_rlsd=long))))
    assert check["status"] == "failed"
    assert check["error"]["code"] == "context_too_short"
    assert check["error"]["param"] == "x_rlsd.max_completion_tokens"


def test_the_teachers_prompt_is_the_students_with_the_hint_in_it(
    api: Api, sample_worker: int, starter_rows: str
) -> None:
    request = {"model": "starter", "training_file": starter_rows, "x_rlsd": SETTINGS, "row": 3}
    check = finished(api, answered(api.http.post(PREVIEW, json=request)))
    assert check["status"] == "done", check["error"]
    preview = check["result"]
    row = json.loads((STARTER / "train.jsonl").read_text().splitlines()[3])
    (teacher,) = preview["teachers"]
    assert teacher["text"][teacher["hint_start"] : teacher["hint_end"]] == row["solution"]
    assert row["solution"] not in preview["student"]["text"]
    assert row["messages"][0]["content"] in preview["student"]["text"]
    assert not teacher["cut"]
    assert teacher["only_the_hint_differs"]
    assert teacher["tokens"] > preview["student"]["tokens"]
    assert teacher["images"] == 0
    grpo = finished(api, answered(api.http.post(PREVIEW, json=request | {"x_rlsd": {"method": "grpo"}})))["result"]
    assert grpo["teachers"] == []
    assert "no teacher" in grpo["note"]


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"model": "none such"}, 400, "model"),
        ({"training_file": "file-none"}, 400, "training_file"),
        ({"x_rlsd": {"lambda": 2}}, 400, "x_rlsd.lambda"),
        ({"x_rlsd": {"hint": "trajectory"}}, 400, "x_rlsd.hint"),
        ({"x_rlsd": {"preset": "bold"}}, 400, "x_rlsd.preset"),
        ({"x_rlsd": {"method": "opd", "teacher_model": "none such"}}, 400, "x_rlsd.teacher_model"),
        ({"grader": {"type": "none such"}}, 400, "grader.type"),
        ({"grader": EXACT | {"reference": "{{item.none}}"}}, 400, "grader.reference"),
        ({"rows": 0}, 400, "rows"),
        ({"rows": 257}, 400, "rows"),
        ({"samples": 65}, 400, "samples"),
        ({"unknown": 1}, 400, "unknown"),
    ],
)
def test_errors_of_a_job_are_refused_without_a_worker(
    api: Api, starter_rows: str, changes: dict[str, Any], status: int, param: str
) -> None:
    error = refused(api.http.post(PREFLIGHT, json=body(starter_rows, **changes)), status=status)
    assert error["param"] == param
    assert "method.reinforcement" not in error["message"]
    assert answered(api.http.get("/v1/checks"))["data"] == []


def test_a_row_that_is_not_there_cannot_be_previewed(api: Api, starter_rows: str) -> None:
    request = {"model": "starter", "training_file": starter_rows, "row": 40}
    error = refused(api.http.post(PREVIEW, json=request), status=400, code="row_not_found")
    assert error["param"] == "row"
    assert "counted from 0" in error["message"]


# -- before a job's first step -------------------------------------------------------------------------------------


def queued(**settings: Any) -> str:
    with transaction() as session:
        return queued_job(session, self_check_rows=0, **settings)


def last_checkpoint(job_id: str) -> bytes:
    with transaction() as session:
        newest = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step.desc()).limit(1)
        return blobs.read(session, session.scalars(newest).one().sha256)


def test_a_job_with_a_pre_flight_records_it_and_is_trained_to_the_same_bits(train_worker: Path) -> None:
    plain, looked = queued(), queued(preflight_rows=4, preflight_samples=4)
    one, two = ended(plain), ended(looked)
    assert (one.state, two.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED), train_worker.read_text()
    assert one.checks is None or one.checks["preflight"] is None
    assert two.check_details is not None
    assert two.check_details["preflight"]["rows"] == 4
    assert not two.check_details["preflight"]["time"]["step_measured"]
    assert last_checkpoint(plain) == last_checkpoint(looked)


def test_a_job_that_nothing_can_be_learned_from_waits_before_its_first_step_until_someone_insists(
    train_worker: Path,
) -> None:
    source = "def grade(sample, item):\n    return 0.0\n"
    never = {"type": "python", "name": "never", "source": source}
    job_id = queued(preflight_rows=2, preflight_samples=4, grader=never, on_failed_check="pause")
    paused = ended(job_id)
    assert paused.state == JobState.PAUSED, train_worker.read_text()
    assert paused.step == 0
    assert paused.error is not None
    assert paused.error["code"] == "check_failed"
    assert "nothing to learn" in paused.error["message"]
    with transaction(project=DEFAULT_PROJECT) as session:
        control.resume(session, session.get_one(Job, job_id))
    insisted = ended(job_id)
    assert insisted.state == JobState.SUCCEEDED, train_worker.read_text()
    assert insisted.checks is not None
    assert insisted.checks["overridden_at"] is not None
