"""What workers find out beside training is found again by its id, with its progress, its result or its problem."""

import os
import signal
import subprocess
import time

import pytest

from backend import checks
from backend.db.base import Json
from backend.db.engine import transaction
from backend.errors import AppError
from tests.service.conftest import EXACT, Api, answered, refused

SAMPLES = [{"output_text": "42", "item": {"answer": "42"}, "answer": "42"}]


def asked(**about: str) -> str:
    with transaction() as session:
        return checks.request_check(
            session, kind="grader_run", request={"grader": EXACT, "samples": SAMPLES}, **about
        ).id


def test_a_check_is_queued_until_a_worker_tells_of_it(api: Api) -> None:
    check = asked()
    assert answered(api.http.get(f"/v1/checks/{check}"))["status"] == "queued"
    checks.carry_out(check, handlers={"grader_run": told_half})
    shown = answered(api.http.get(f"/v1/checks/{check}"))
    assert shown["status"] == "done"
    assert shown["progress"] == {"done": 1, "total": 2, "unit": "samples"}
    assert shown["result"] == {"seen": "exact"}


def told_half(request: Json, progress: checks.Progress) -> Json:
    progress(1, 2, "samples")
    return {"seen": request["grader"]["name"]}


def test_checks_are_listed_by_what_they_are_about_and_go_with_it(api: Api) -> None:
    file = api.dataset()
    about, other = asked(file_id=file), asked()
    listed = answered(api.http.get("/v1/checks", params={"file": file}))["data"]
    assert [check["id"] for check in listed] == [about]
    answered(api.http.delete(f"/v1/files/{file}"))
    refused(api.http.get(f"/v1/checks/{about}"), status=404)
    assert answered(api.http.get(f"/v1/checks/{other}"))["id"] == other


def test_a_check_whose_process_is_killed_says_so(api: Api, check_worker: int) -> None:
    checks.wait_for_check(asked(), timeout_s=60)  # the worker is up, and attacks its sandbox no more
    source = "def grade(item, output_text):\n    while True: pass\n"
    grader = {"type": "python", "name": "slow", "source": source}
    with transaction() as session:
        check = checks.request_check(session, kind="grader_run", request={"grader": grader, "samples": SAMPLES * 20}).id
    os.kill(process_at_work(check_worker), signal.SIGKILL)
    with pytest.raises(AppError, match="was killed"):
        checks.wait_for_check(check, timeout_s=30)


def process_at_work(worker: int) -> int:
    """The child of the worker that has started a sandbox of its own."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in children(worker):
            if children(child):
                return child
        time.sleep(0.05)
    raise AssertionError("no process is at work")


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]
