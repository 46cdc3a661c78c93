"""Checks by workers: lookup by id, progress, result, and errors."""

import base64
import json
import os
import signal
import time

import psutil
import pytest
from sqlalchemy import update

from backend import checks
from backend.db.base import Json, utc_now
from backend.db.checks import Check
from backend.db.engine import transaction
from backend.db.projects import DEFAULT_PROJECT
from backend.errors import AppError
from backend.queue import celery_app
from backend.settings import settings
from tests.processes import wait_for
from tests.service.conftest import EXACT, Api, answered, refused

SAMPLES = [{"output_text": "42", "item": {"answer": "42"}, "answer": "42"}]


def queued_check(**about: str) -> str:
    with transaction() as session:
        return checks.request_check(
            session, project=DEFAULT_PROJECT, kind="grader_run", request={"grader": EXACT, "samples": SAMPLES}, **about
        ).id


def test_a_check_is_queued_until_a_worker_reports(api: Api) -> None:
    check = queued_check()
    assert answered(api.http.get(f"/v1/checks/{check}"))["status"] == "queued"
    checks.carry_out(check, handlers={"grader_run": report_half})
    check_object = answered(api.http.get(f"/v1/checks/{check}"))
    assert check_object["status"] == "done"
    assert check_object["progress"] == {"done": 1, "total": 2, "unit": "samples"}
    assert check_object["result"] == {"seen": "exact"}


def test_a_cancelled_check_stops_at_its_next_sign_of_progress(api: Api) -> None:
    check, went_on = queued_check(), []

    def cancelled_midway(_: Json, progress: checks.Progress) -> Json:
        answered(api.http.post(f"/v1/checks/{check}/cancel"))
        progress(1, 1, "samples")
        went_on.append(True)
        return {}

    checks.carry_out(check, handlers={"grader_run": cancelled_midway})
    check_object = answered(api.http.get(f"/v1/checks/{check}"))
    assert (check_object["status"], check_object["error"]["code"]) == ("failed", "cancelled")
    assert not went_on
    refused(api.http.post(f"/v1/checks/{check}/cancel"), status=409, code="check_ended")


def test_a_check_is_running_before_it_reports_progress(api: Api) -> None:
    check, observed = queued_check(), []

    def look(_: Json, __: checks.Progress) -> Json:
        observed.append(answered(api.http.get(f"/v1/checks/{check}")))
        return {}

    checks.carry_out(check, handlers={"grader_run": look})
    assert (observed[0]["status"], observed[0]["progress"]) == ("running", None)


def test_a_check_that_takes_too_long_is_stopped(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLSD_CHECK_BUDGET_S", "0.01")
    settings.cache_clear()
    check = queued_check()

    def slow(_: Json, progress: checks.Progress) -> Json:
        time.sleep(0.05)
        progress(1, 2, "samples")
        progress(2, 2, "samples")
        return {}

    checks.carry_out(check, handlers={"grader_run": slow})
    monkeypatch.undo()
    settings.cache_clear()
    assert answered(api.http.get(f"/v1/checks/{check}"))["error"]["code"] == "too_much_work"


def report_half(request: Json, progress: checks.Progress) -> Json:
    progress(1, 2, "samples")
    return {"seen": request["grader"]["name"]}


def test_checks_are_listed_by_what_they_are_about_and_go_with_it(api: Api) -> None:
    file = api.dataset()
    about, other = queued_check(file_id=file), queued_check()
    listed = answered(api.http.get("/v1/checks", params={"file": file}))["data"]
    assert [check["id"] for check in listed] == [about]
    answered(api.http.delete(f"/v1/files/{file}"))
    refused(api.http.get(f"/v1/checks/{about}"), status=404)
    assert answered(api.http.get(f"/v1/checks/{other}"))["id"] == other


def test_checks_are_known_again_by_what_was_sent_for_them(api: Api) -> None:
    file, job = api.dataset(), {"x_rlsd": {"method": "grpo"}, "grader": EXACT, "model": "starter"}
    sent = {
        "/v1/verifiers/check": {"grader": EXACT, "file": file, "rows": 2},
        f"/v1/files/{file}/tokens": {"model": "starter", "max_prompt_tokens": 9},
        "/v1/fine_tuning/preflight": {**job, "training_file": file, "rows": 3},
    }
    for path, body in sent.items():
        check = answered(api.http.post(path, json=body))
        assert check["asked"] == body
        assert answered(api.http.get(f"/v1/checks/{check['id']}"))["asked"] == body
    listed = answered(api.http.get("/v1/checks", params={"file": file}))["data"]
    assert [check["asked"] for check in listed] == list(reversed(sent.values()))
    assert answered(api.http.get(f"/v1/checks/{queued_check()}"))["asked"] is None


@pytest.mark.slow
def test_a_killed_check_reports_it(api: Api, check_worker: int) -> None:
    checks.wait_for_check(
        queued_check(), project=DEFAULT_PROJECT, timeout_s=60
    )  # the worker is up, and attacks its sandbox no more
    source = "def grade(item, output_text):\n    while True: pass\n"
    grader = {"type": "python", "name": "slow", "source": source}
    with transaction() as session:
        check = checks.request_check(
            session, project=DEFAULT_PROJECT, kind="grader_run", request={"grader": grader, "samples": SAMPLES * 20}
        ).id
    wait_for(
        lambda: answered(api.http.get(f"/v1/checks/{check}"))["status"] == "running", timeout_s=30, what="its start"
    )
    os.kill(check_process(check_worker), signal.SIGKILL)
    with pytest.raises(AppError, match="was killed"):
        checks.wait_for_check(check, project=DEFAULT_PROJECT, timeout_s=30)


def check_process(worker: int) -> int:
    """Return the forked child of the worker that has started a sandbox; the worker itself probes one at its start."""
    parent = psutil.Process(worker)

    def found() -> int | None:
        forked = (child for child in parent.children() if "ForkPoolWorker" in " ".join(child.cmdline()))
        return next((child.pid for child in forked if child.children()), None)

    return int(wait_for(found, timeout_s=30, what="a process at work"))


@pytest.fixture
def unattended_queue(monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue for checks that no worker consumes."""
    monkeypatch.setattr(checks, "CHECK_QUEUE", "unattended_queue")
    return "unattended_queue"


def take_messages(queue: str) -> list[str]:
    """Remove the messages from a queue and return their checks."""
    with celery_app.connection_for_write() as connection:
        client = connection.default_channel.client
        found = [json.loads(message) for message in client.lrange(queue, 0, -1)]
        client.delete(queue)
    return [json.loads(base64.b64decode(message["body"]))[0][0] for message in found]


def sweep_and_take(queue: str) -> list[str]:
    with transaction() as session:
        checks.nudge_lost(session)
    return take_messages(queue)


def test_a_check_whose_message_was_lost_is_sent_again_unless_it_is_running(api: Api, unattended_queue: str) -> None:
    check, fresh = queued_check(), queued_check()
    assert sorted(take_messages(unattended_queue)) == sorted([fresh, check])
    with transaction() as session:
        session.execute(update(Check).where(Check.id == check).values(created_at=utc_now() - 2 * checks.LATE))
    assert sweep_and_take(unattended_queue) == [check]
    observed: list[list[str]] = []

    def sweep_meanwhile(_: Json, __: checks.Progress) -> Json:
        observed.append(sweep_and_take(unattended_queue))
        checks.carry_out(check, handlers={"grader_run": lambda *_: observed.append(["twice"]) or {}})
        return {}

    checks.carry_out(check, handlers={"grader_run": sweep_meanwhile})
    assert observed == [[]]
    assert sweep_and_take(unattended_queue) == []
    assert answered(api.http.get(f"/v1/checks/{check}"))["status"] == "done"


def test_checks_whose_messages_wait_are_not_nudged(api: Api, unattended_queue: str) -> None:
    check = queued_check()
    with transaction() as session:
        session.execute(update(Check).values(created_at=utc_now() - 2 * checks.LATE))
    assert sweep_and_take(unattended_queue) == [check]  # the first message; a nudge would be a second
