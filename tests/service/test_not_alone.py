"""Two API processes and two workers on one database and broker."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text, update

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job, JobEvent
from backend.db.training import Step
from backend.jobs.lifecycle import JobState
from backend.queue import CHECK_TASK, TRAIN_TASK, celery_app, send
from tests.processes import running_api, running_worker, wait_for
from tests.service.conftest import EXACT, Api, answered, job_body, refused
from tests.service.test_api_runs import Watcher, take_steps
from tests.service.training import ended, job_now, queued_job, worker

pytestmark = pytest.mark.training

REQUESTS_A_MINUTE = 300
ROWS = b"".join(b'{"question": "%d?", "answer": "%d"}\n' % (n, n) for n in range(50))


@pytest.fixture(scope="module")
def urls(services: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two API processes, as `rlsd api` starts them."""
    logs = tmp_path_factory.mktemp("apis")
    limit = {"RLSD_REQUESTS_PER_MINUTE": str(REQUESTS_A_MINUTE)}
    with running_api(logs / "0", environment=limit) as one, running_api(logs / "1", environment=limit) as two:
        yield one, two


@pytest.fixture
def api_pair(api: Api, urls: tuple[str, str]) -> Iterator[tuple[Api, Api]]:
    """Clients of both API processes, with one key."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(httpx.Client(base_url=url, headers=api.http.headers, timeout=60)) for url in urls
        ]
        yield replace(api, url=urls[0], http=clients[0]), replace(api, url=urls[1], http=clients[1])


@pytest.fixture
def train_workers(clean_database: object, tmp_path: Path) -> Iterator[list[int]]:
    """The process ids of two train workers, which both sweep every second."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                worker("train", models=tmp_path / "tiny", log=tmp_path / f"worker-{n}.log", may_exit=True)
            ).pid
            for n in range(2)
        ]


def new_job(**settings: Any) -> str:
    with transaction() as session:
        job_id = queued_job(session, **settings)
        session.get_one(Job, job_id).request = job_body("file-of-the-job")
        return job_id


def codes(job_id: str) -> list[str]:
    with transaction() as session:
        return list(session.scalars(select(JobEvent.code).where(JobEvent.job_id == job_id).order_by(JobEvent.number)))


def test_the_rate_of_a_key_is_counted_over_both(api_pair: tuple[Api, Api]) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(lambda n: api_pair[n % 2].http.get("/v1/models").status_code, range(REQUESTS_A_MINUTE + 100))
        )
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == pytest.approx(REQUESTS_A_MINUTE, abs=20)  # the window slides meanwhile
    for each in api_pair:
        refused(each.http.get("/v1/models"), status=429, code="rate_limit_exceeded")


def test_a_request_that_is_sent_again_to_the_other_is_not_done_again(api_pair: tuple[Api, Api]) -> None:
    body, headers = job_body(api_pair[0].dataset()), {"idempotency-key": "one job"}

    def send_to(number: int) -> httpx.Response:
        return api_pair[number % 2].http.post("/v1/fine_tuning/jobs", json=body, headers=headers)

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(send_to, range(8)))
    assert {response.status_code for response in responses} <= {200, 409}
    again = [send_to(0), send_to(1)]
    assert all(response.headers["idempotent-replayed"] == "true" for response in again)
    stored = answered(api_pair[1].http.get("/v1/fine_tuning/jobs"))["data"]
    assert {answered(response)["id"] for response in again} == {job["id"] for job in stored}
    assert len(stored) == 1


def test_parts_of_an_upload_go_to_either(api_pair: tuple[Api, Api]) -> None:
    announced = {"filename": "rows.jsonl", "bytes": len(ROWS), "mime_type": "application/jsonl", "purpose": "fine-tune"}
    upload = answered(api_pair[0].http.post("/v1/uploads", json=announced))["id"]
    pieces = [ROWS[start : start + 200] for start in range(0, len(ROWS), 200)]

    def send_part(number: int) -> str:
        form = {"data": ("part", pieces[number])}
        return str(answered(api_pair[number % 2].http.post(f"/v1/uploads/{upload}/parts", files=form))["id"])

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(send_part, range(len(pieces))))
    bodies = [{"part_ids": parts}] * 2
    with ThreadPoolExecutor(2) as pool:  # both complete the upload, one creates the file
        ends = list(
            pool.map(lambda n: api_pair[n].http.post(f"/v1/uploads/{upload}/complete", json=bodies[n]), range(2))
        )
    assert sorted(response.status_code for response in ends)[0] == 200, [response.text for response in ends]
    files = {response.json()["file"]["id"] for response in ends if response.status_code == 200}
    assert {file["id"] for file in answered(api_pair[0].http.get("/v1/files"))["data"]} == files
    assert len(files) == 1
    assert api_pair[0].http.get(f"/v1/files/{files.pop()}/content").content == ROWS


def test_a_job_is_watched_at_both_and_taken_up_at_the_other(api_pair: tuple[Api, Api]) -> None:
    job_id = api_pair[0].job()["id"]
    path = f"/v1/fine_tuning/jobs/{job_id}"
    watchers = [Watcher(each, path) for each in api_pair]
    for watcher in watchers:
        watcher.wait("state")
    take_steps(job_id, last=3)
    for watcher in watchers:
        place = [m for m in watcher.wait("metrics", 3) if m["event"] == "metrics"][1]["id"]
    later = Watcher(api_pair[0], path, last_event_id=place)  # a position that the other process returned
    answered(api_pair[1].http.post(f"{path}/cancel"))
    received = [[m["data"] for m in watcher.wait("end") if m["event"] == "metrics"] for watcher in [*watchers, later]]
    assert [[step["step"] for step in steps] for steps in received] == [[1, 2, 3], [1, 2, 3], [3]]
    assert received[0] == received[1]


def test_jobs_at_either_worker_are_cancelled_at_either_api(api_pair: tuple[Api, Api], train_workers: list[int]) -> None:
    jobs = [new_job(max_steps=100_000) for _ in range(2)]
    for job_id in jobs:
        wait_for(lambda j=job_id: job_now(j).step >= 1, timeout_s=90, what=f"the first step of {job_id}")
    owners = {str(job_now(job_id).lease_owner).rpartition(":")[2] for job_id in jobs}
    assert owners == {str(pid) for pid in train_workers}
    for each, job_id in zip(reversed(api_pair), jobs, strict=True):
        answered(each.http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel"))
    for job_id in jobs:
        assert ended(job_id).state == JobState.CANCELLED
        assert codes(job_id).count("job.cancelled") == 1


def test_a_job_lost_by_one_worker_is_put_back_once_although_all_nudges_are_lost(train_workers: list[int]) -> None:
    job_id = new_job(max_steps=30)
    wait_for(lambda: job_now(job_id).step >= 3, timeout_s=90, what="three steps")
    owner = int(str(job_now(job_id).lease_owner).rpartition(":")[2])
    os.kill(owner, signal.SIGKILL)
    waiting = new_job(max_steps=2)
    with celery_app.connection_for_write() as connection:
        connection.default_channel.client.flushdb()
    for job in (job_id, waiting):
        assert ended(job).state == JobState.SUCCEEDED
        with transaction() as session:
            assert session.scalar(select(func.count()).where(Step.job_id == job)) == job_now(job).max_steps
    assert (job_now(job_id).fence, job_now(waiting).fence) == (2, 1)
    assert (codes(job_id).count("job.queued"), codes(waiting).count("job.succeeded")) == (1, 1)


def test_of_two_that_sweep_one_puts_a_job_back(train_workers: list[int]) -> None:
    """Expired leases are released by one worker, and each job is claimed and trained once."""
    past = utc_now() - timedelta(seconds=1)
    jobs = [new_job(max_steps=100_000) for _ in range(2)]  # keep both workers busy meanwhile
    for job_id in jobs:
        wait_for(lambda j=job_id: job_now(j).step >= 1, timeout_s=90, what="both workers at work")
    lost = [new_job(max_steps=1) for _ in range(6)]
    values = {"state": JobState.RUNNING, "lease_owner": "nobody:1", "lease_until": past, "fence": 1}
    with transaction() as session:
        session.execute(update(Job).where(Job.id.in_(lost)).values(**values))
    for job_id in lost:
        wait_for(lambda j=job_id: job_now(j).state == JobState.QUEUED, timeout_s=20, what="a sweep")
        for _ in range(2):
            send(TRAIN_TASK, job_id)
    with transaction() as session:
        session.execute(update(Job).where(Job.id.in_(jobs)).values(control_signal="cancel"))
    for job_id in lost:
        assert ended(job_id).state == JobState.SUCCEEDED
        assert (job_now(job_id).fence, codes(job_id).count("job.queued")) == (2, 1)


def test_checks_requested_at_both_are_each_done_by_one_worker(api_pair: tuple[Api, Api], tmp_path: Path) -> None:
    file = api_pair[0].dataset(30)
    count_beginnings = (
        "CREATE TABLE beginnings (check_id text);"
        "CREATE FUNCTION begun() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO beginnings VALUES (NEW.id); RETURN NEW; END';"
        "CREATE TRIGGER begun AFTER UPDATE ON checks FOR EACH ROW WHEN (NEW.progress ->> 'total' = '0')"
        " EXECUTE FUNCTION begun()"
    )
    with transaction() as session:
        session.execute(text(count_beginnings))
    try:
        with running_worker("check", log=tmp_path / "one"), running_worker("check", log=tmp_path / "two"):
            bodies = [{"grader": EXACT | {"name": f"v{n}"}, "file": file} for n in range(16)]
            with ThreadPoolExecutor(8) as pool:
                stored_checks = list(
                    pool.map(
                        lambda n: answered(api_pair[n % 2].http.post("/v1/verifiers/check", json=bodies[n])), range(16)
                    )
                )
            for check in stored_checks * 2:
                send(CHECK_TASK, check["id"])
            for number, check in enumerate(stored_checks):
                other = api_pair[(number + 1) % 2]

                def done(check: dict[str, Any] = check, other: Api = other) -> bool:
                    return answered(other.http.get(f"/v1/checks/{check['id']}"))["status"] == "done"

                wait_for(done, timeout_s=90, what="the end of a check, reported by the other API")
        with transaction() as session:
            begun = session.execute(text("SELECT check_id, count(*) FROM beginnings GROUP BY 1")).tuples().all()
        assert dict(begun) == {check["id"]: 1 for check in stored_checks}
    finally:
        with transaction() as session:
            session.execute(text("DROP TRIGGER begun ON checks; DROP FUNCTION begun; DROP TABLE beginnings"))
