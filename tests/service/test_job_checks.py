"""The self-check before a job's first step: its result is stored, and a failure pauses the job until overridden."""

from pathlib import Path

import pytest

from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.projects import DEFAULT_PROJECT
from backend.jobs import control
from backend.jobs.lifecycle import JobState
from tests.processes import wait_for
from tests.service.conftest import Api, answered, job_body
from tests.service.training import VERIFIER, codes, ended, job_events, job_now, new_job

CONSTANT = {"type": "python", "name": "same", "source": "def grade(sample, item):\n    return 0.5\n"}
CONTAINS = {
    "type": "python",
    "name": "contains",
    "source": "def grade(sample, item):\n    words = sample['output_text'].replace(',', ' ').split()\n"
    "    return float(item['answer'] in words)\n",
}

pytestmark = pytest.mark.usefixtures("clean_database")


def test_a_failing_check_pauses_the_job_until_someone_overrides_it(train_worker: Path, api: Api) -> None:
    job_id = new_job(grader=CONSTANT, on_failed_check="pause")
    job = ended(job_id)
    assert (job.state, job.step) == (JobState.PAUSED, 0), train_worker.read_text()
    assert job.error is not None
    assert (job.error["code"], job.error["param"]) == ("check_failed", "method.reinforcement.grader")
    assert "never reads the completion" in job.error["message"]
    assert "resume" in job.error["message"]
    assert codes(job_id)[-2:] == ["check.failed", "job.paused"]
    assert job.checks is not None
    assert job.checks["overridden_at"] is None
    with transaction(project=DEFAULT_PROJECT) as session:
        control.resume(session, session.get_one(Job, job_id))
    job = ended(job_id)
    assert (job.state, job.step) == (JobState.SUCCEEDED, 4), train_worker.read_text()
    assert job.checks["self_check"]["verdict"] == "fail"
    assert job.checks["overridden_at"] > 0
    assert codes(job_id).count("check.failed") == 1, "what is on record is not tried again"
    overridden = next(event for event in job_events(job_id) if event.code == "check.overridden")
    assert overridden.data == {"checks": ["self_check"]}
    assert job.manifest is not None
    assert job.manifest["checks"]["overridden_at"] == job.checks["overridden_at"]
    assert job.manifest["checks"]["self_check"]["verdict"] == "fail"
    assert "rows" not in job.manifest["checks"]["self_check"]


def test_with_go_on_the_job_continues_and_the_failure_is_recorded(train_worker: Path) -> None:
    job_id = new_job(grader=CONSTANT, on_failed_check="go_on", max_steps=1, self_check_rows=3)
    job = ended(job_id)
    assert job.state == JobState.SUCCEEDED, train_worker.read_text()
    assert job.checks is not None
    assert job.checks["self_check"]["verdict"] == "fail"
    assert job.checks["overridden_at"] is None
    assert "rows_checked" not in job.checks["self_check"], "lists of jobs do without the details"
    assert job.check_details is not None
    assert job.check_details["self_check"]["rows_checked"] == 3
    assert "check.failed" in codes(job_id)
    assert "check.overridden" not in codes(job_id)


def test_a_verifier_that_is_only_warned_of_trains_and_none_is_tried_where_none_is_wanted(train_worker: Path) -> None:
    warned = new_job(grader=CONTAINS, max_steps=1, on_failed_check="pause")
    unchecked = new_job(grader=CONSTANT, max_steps=1, on_failed_check="pause", self_check_rows=0)
    assert ended(warned).state == ended(unchecked).state == JobState.SUCCEEDED, train_worker.read_text()
    assert "check.warned" in codes(warned)
    assert [code for code in codes(unchecked) if code.startswith("check.")] == []
    assert job_now(unchecked).checks is None


def test_a_job_that_goes_on_from_a_checkpoint_is_past_its_checks(train_worker: Path) -> None:
    job_id = new_job(max_steps=100_000, checkpoint_interval=1, self_check_rows=0)
    wait_for(lambda: job_now(job_id).step >= 2, timeout_s=60, what="two steps")
    with transaction() as session:
        control.pause(session, session.get_one(Job, job_id))
    stood = ended(job_id).step
    with transaction(project=DEFAULT_PROJECT) as session:
        job = session.get_one(Job, job_id)
        job.spec = job.spec | {"self_check_rows": 8, "on_failed_check": "pause"}
        job.grader = CONSTANT
        control.resume(session, session.get_one(Job, job_id))
    wait_for(lambda: job_now(job_id).step > stood, timeout_s=60, what="a step after the pause")
    with transaction() as session:
        control.cancel(session, session.get_one(Job, job_id))
    ended(job_id)
    assert job_now(job_id).checks is None


def test_two_devices_check_once_and_both_stop(train_worker: Path) -> None:
    job_id = new_job(grader=CONSTANT, on_failed_check="pause", devices=2)
    job = ended(job_id)
    assert job.state == JobState.PAUSED, train_worker.read_text()
    assert codes(job_id).count("check.failed") == 1
    assert "trainer.lost" not in codes(job_id)


def test_a_job_of_the_api_shows_its_checks(api: Api) -> None:
    body = job_body(api.dataset(), grader=VERIFIER, x_rlsd={"self_check_rows": 4, "on_failed_check": "go_on"})
    job = answered(api.http.post("/v1/fine_tuning/jobs", json=body))
    nothing = {"self_check": None, "preflight": None, "overridden_at": None}
    assert job["x_checks"] == nothing
    assert job["method"]["reinforcement"]["x_rlsd"]["self_check_rows"] == 4
    found = {"verdict": "warn", "summary": "So so.", "findings": [], "rows": [{"row": 0}], "probes": []}
    with transaction() as session:
        session.get_one(Job, job["id"]).checks = nothing | {"self_check": found}
    x_checks = answered(api.http.get(f"/v1/fine_tuning/jobs/{job['id']}"))["x_checks"]
    assert x_checks["self_check"] == {"verdict": "warn", "summary": "So so.", "findings": []}
    full = answered(api.http.get(f"/v1/fine_tuning/jobs/{job['id']}/checks"))
    assert full["self_check"] == found
    assert full["preflight"] is None
