"""Workers report that they are running; silent ones are not listed."""

import time
from dataclasses import replace
from typing import Any

from sqlalchemy import update

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.workers import WorkerRecord
from backend.workers import ACTIVE, KEPT, facts, leave, report
from tests.service.conftest import Api, answered


def test_a_running_worker_is_seen_with_its_sandbox(api: Api, sample_worker: int) -> None:
    def find_worker() -> dict[str, Any] | None:
        workers = answered(api.http.get("/v1/workers"))["data"]
        return next((worker for worker in workers if worker["id"].endswith(f":{sample_worker}")), None)

    deadline = time.monotonic() + 60
    while not (found := find_worker()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found["queues"] == ["sample"]
    assert found["sandbox_level"] >= 0


def test_a_worker_that_is_silent_or_has_left_is_not_shown(api: Api) -> None:
    known = facts(["train"], sandbox_level=2)
    for gone in ("silent", "left"):
        with transaction() as session:
            report(session, known)
        assert known.id in listed_workers(api)
        with transaction() as session:
            if gone == "silent":
                session.execute(update(WorkerRecord).values(seen_at=utc_now() - ACTIVE))
            else:
                leave(session, known)
        assert known.id not in listed_workers(api)


def test_what_was_seen_long_ago_is_forgotten(api: Api) -> None:
    known, other = facts(["train"], sandbox_level=2), facts(["check"], sandbox_level=2)
    with transaction() as session:
        report(session, known)
        session.execute(update(WorkerRecord).values(seen_at=utc_now() - KEPT, id="old"))
        report(session, other)
        assert session.get(WorkerRecord, "old") is None


def listed_workers(api: Api) -> list[str]:
    return [worker["id"] for worker in answered(api.http.get("/v1/workers"))["data"]]


def test_readiness_counts_the_workers_of_each_queue_and_needs_none(api: Api) -> None:
    assert answered(api.bare.get("/readyz"))["workers"] == {}
    with transaction() as session:
        for queues in (["train"], ["check", "sample"]):
            known = replace(facts(queues, sandbox_level=2), id=queues[0])
            report(session, known)
    assert answered(api.bare.get("/readyz"))["workers"] == {"check": 1, "sample": 1, "train": 1}
