"""Who wants a person: jobs and workers as the API tells them, in all their states."""

from typing import Any, cast

import pytest

from frontend.api.organisation import Webhook, Worker
from frontend.api.types import Check, DataFile, Job
from frontend.pages.home.alerts import RECENT_S, wants

NOW = 1_800_000_000.0
ALL_THERE = cast("list[Worker]", [{"queues": ["train", "check"]}])
FAILED_CHECK = {"verdict": "fail", "summary": "An empty text gets full marks.", "findings": []}


def job(status: str, **more: Any) -> Job:
    checks = {"self_check": None, "preflight": None, "overridden_at": None} | more.pop("x_checks", {})
    known = {"id": "j", "status": status, "error": None, "finished_at": None, "fine_tuned_model": None}
    return cast("Job", known | {"x_checks": checks} | more)


def titles(*jobs: Job, workers: list[Worker] = ALL_THERE) -> list[str]:
    return [want.title for want in wants(jobs, workers, now=NOW)]


def test_where_all_is_well_nothing_is_wanted() -> None:
    assert titles(job("running"), job("succeeded"), job("cancelled"), job("queued")) == []


def test_a_failed_job_wants_someone_for_some_days() -> None:
    fault = {"message": "Out of memory: lower micro_batch_tokens."}
    [want] = wants([job("failed", error=fault, finished_at=NOW - 60)], ALL_THERE, now=NOW)
    assert (want.level, want.text) == ("bad", fault["message"])
    assert titles(job("failed", finished_at=NOW - RECENT_S - 1)) == []


@pytest.mark.parametrize(
    ("status", "overridden_at", "expected"),
    [
        ("paused", None, ["waits for you: a check failed"]),
        ("running", None, ["goes on although a check failed"]),
        ("running", 5, []),
        ("succeeded", None, []),
    ],
)
def test_a_failed_check_is_told_until_someone_went_on_regardless(
    status: str, overridden_at: int | None, expected: list[str]
) -> None:
    checks = {"self_check": FAILED_CHECK, "overridden_at": overridden_at}
    assert titles(job(status, x_checks=checks)) == expected


def test_a_queue_without_a_worker_is_told_and_how_many_wait() -> None:
    others = cast("list[Worker]", [{"queues": ["check"]}])
    [first, second] = wants([job("paused"), job("queued")], others, now=NOW)
    assert "1 job waits" in first.text
    assert "rlsd worker --queue train" in first.text
    assert (first.level, second.title) == ("bad", "is paused")
    assert len(titles(workers=[])) == 2


def check(kind: str, status: str, **more: Any) -> Check:
    return cast("Check", {"kind": kind, "status": status, "finished_at": NOW, "job_id": None, "error": None, **more})


@pytest.mark.parametrize(
    ("jobs", "checks", "expected"),
    [
        ([], [], []),
        ([], [check("preflight", "done")], []),
        ([], [check("preflight", "queued"), check("export", "queued")], [("bad", "sample", "2 checks wait.")]),
        ([job("succeeded", fine_tuned_model="ft:x")], [], [("look", "chat", "cannot be asked.")]),
    ],
)
def test_other_queues_are_missed_where_there_is_something_for_them(
    jobs: list[Job], checks: list[Check], expected: list[tuple[str, str, str]]
) -> None:
    found = wants(jobs, ALL_THERE, now=NOW, checks=checks)
    assert len(found) == len(expected)
    for want, (level, queue, said) in zip(found, expected, strict=True):
        assert want.level == level
        assert said in want.text
        assert f"rlsd worker --queue {queue}`" in want.text
    served = cast("list[Worker]", [*ALL_THERE, {"queues": ["sample"]}, {"queues": ["chat"]}])
    assert wants(jobs, served, now=NOW, checks=checks) == []


def test_unread_files_and_failed_exports_lead_to_where_they_can_be_mended() -> None:
    files = [{"id": "file-1", "filename": "a.csv", "status": "error", "status_details": "line 3 is not CSV."}]
    checks = [
        check("export", "failed", job_id="ftjob-1", error={"message": "Out of memory."}),
        check("export", "failed", job_id="ftjob-2", finished_at=NOW - RECENT_S - 1),
        check("preflight", "failed", job_id="ftjob-3"),
    ]
    [file, export] = wants([], ALL_THERE, now=NOW, checks=checks, files=cast("list[DataFile]", files))
    assert (file.title, file.text) == ("a.csv could not be read", "line 3 is not CSV.")
    assert (file.page, file.query) == ("datasets", {"dataset": "file-1"})
    assert (export.page, export.query["job"], export.text) == ("job", "ftjob-1", "Out of memory.")


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (None, None),
        ({"status": "delivered"}, None),
        ({"status": "pending"}, None),
        ({"status": "failed", "error": "x", "created_at": NOW - 7 * 86_400}, None),
        ({"status": "pending", "error": "The address answered 500."}, "The address answered 500. It is tried again."),
        ({"status": "failed", "error": "Lost.", "created_at": NOW - 4 * 86_400}, "Lost. It is not tried again."),
    ],
)
def test_an_address_that_takes_no_messages_is_told_and_where_its_deliveries_stand(
    last: dict[str, Any] | None, said: str | None
) -> None:
    usual = {"created_at": NOW - 60, "error": None}
    hook = {"id": "hook-1", "url": "https://a.example/x", "last_delivery": None if last is None else usual | last}
    found = wants([], ALL_THERE, now=NOW, webhooks=[cast("Webhook", hook)])
    assert [want.query for want in found] == ([{"section": "Webhooks", "webhook": "hook-1"}] if said else [])
    assert all(said in want.text and want.text.startswith("https://a.example/x: ") for want in found if said)
