"""Alerts on Home, for jobs and workers in all states."""

from typing import Any, cast

import pytest

from frontend.api.types import CheckObject, FileObject, JobObject, WebhookObject, WorkerObject
from frontend.app_pages.home.alerts import RECENT_S, find_alerts

NOW = 1_800_000_000.0
ALL_THERE = cast("list[WorkerObject]", [{"queues": ["train", "check"]}])
FAILED_CHECK = {"verdict": "fail", "summary": "An empty text gets the full score.", "findings": []}


def job(status: str, **more: Any) -> JobObject:
    checks = {"self_check": None, "preflight": None, "overridden_at": None} | more.pop("x_checks", {})
    known = {"id": "j", "status": status, "error": None, "finished_at": None, "fine_tuned_model": None}
    return cast("JobObject", known | {"x_checks": checks} | more)


def titles(*jobs: JobObject, workers: list[WorkerObject] = ALL_THERE) -> list[str]:
    return [alert.title for alert in find_alerts(jobs, workers, now=NOW)]


def test_healthy_jobs_cause_no_alert() -> None:
    assert titles(job("running"), job("succeeded"), job("cancelled"), job("queued")) == []


def test_a_failed_job_causes_an_alert_for_some_days() -> None:
    fault = {"message": "Out of memory: lower micro_batch_tokens."}
    [alert] = find_alerts([job("failed", error=fault, finished_at=NOW - 60)], ALL_THERE, now=NOW)
    assert (alert.level, alert.text) == ("bad", fault["message"])
    assert titles(job("failed", finished_at=NOW - RECENT_S - 1)) == []


@pytest.mark.parametrize(
    ("status", "overridden_at", "expected"),
    [
        ("paused", None, ["needs your decision: a check failed"]),
        ("running", None, ["is running although a check failed"]),
        ("running", 5, []),
        ("succeeded", None, []),
    ],
)
def test_a_failed_check_causes_an_alert_until_somebody_overrides_it(
    status: str, overridden_at: int | None, expected: list[str]
) -> None:
    checks = {"self_check": FAILED_CHECK, "overridden_at": overridden_at}
    assert titles(job(status, x_checks=checks)) == expected


def test_a_queue_without_a_worker_causes_an_alert_with_the_number_of_waiting_jobs() -> None:
    others = cast("list[WorkerObject]", [{"queues": ["check"]}])
    [first, second] = find_alerts([job("paused"), job("queued")], others, now=NOW)
    assert "1 job is waiting" in first.text
    assert "rlsd worker --queue train" in first.text
    assert (first.level, second.title) == ("bad", "is paused")
    assert len(titles(workers=[])) == 2


def check(kind: str, status: str, **more: Any) -> CheckObject:
    return cast(
        "CheckObject", {"kind": kind, "status": status, "finished_at": NOW, "job_id": None, "error": None, **more}
    )


@pytest.mark.parametrize(
    ("jobs", "checks", "expected"),
    [
        ([], [], []),
        ([], [check("preflight", "done")], []),
        ([], [check("preflight", "queued"), check("export", "queued")], [("bad", "sample", "2 checks are waiting.")]),
        ([job("succeeded", fine_tuned_model="ft:x")], [], [("warn", "chat", "cannot answer.")]),
    ],
)
def test_other_queues_cause_an_alert_only_if_they_have_work(
    jobs: list[JobObject], checks: list[CheckObject], expected: list[tuple[str, str, str]]
) -> None:
    found = find_alerts(jobs, ALL_THERE, now=NOW, checks=checks)
    assert len(found) == len(expected)
    for alert, (level, queue, sentence) in zip(found, expected, strict=True):
        assert alert.level == level
        assert sentence in alert.text
        assert f"rlsd worker --queue {queue}`" in alert.text
    served = cast("list[WorkerObject]", [*ALL_THERE, {"queues": ["sample"]}, {"queues": ["chat"]}])
    assert find_alerts(jobs, served, now=NOW, checks=checks) == []


def test_alerts_of_files_and_exports_link_to_their_pages() -> None:
    files = [{"id": "file-1", "filename": "a.csv", "status": "error", "status_details": "line 3 is not CSV."}]
    checks = [
        check("export", "failed", job_id="ftjob-1", error={"message": "Out of memory."}),
        check("export", "failed", job_id="ftjob-2", finished_at=NOW - RECENT_S - 1),
        check("preflight", "failed", job_id="ftjob-3"),
    ]
    [file, export] = find_alerts([], ALL_THERE, now=NOW, checks=checks, files=cast("list[FileObject]", files))
    assert (file.title, file.text) == ("a.csv could not be read", "line 3 is not CSV.")
    assert (file.page, file.query) == ("datasets", {"dataset": "file-1"})
    assert (export.page, export.query["job"], export.text) == ("job", "ftjob-1", "Out of memory.")


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        (None, None),
        ({"status": "delivered"}, None),
        ({"status": "pending"}, None),
        ({"status": "failed", "error": "x", "created_at": NOW - 7 * 86_400}, None),
        (
            {"status": "pending", "error": "The server responded with status 500."},
            "The server responded with status 500. It is being retried.",
        ),
        ({"status": "failed", "error": "Lost.", "created_at": NOW - 4 * 86_400}, "Lost. It is not retried any more."),
    ],
)
def test_a_failing_webhook_causes_an_alert_that_links_to_its_deliveries(
    last: dict[str, Any] | None, sentence: str | None
) -> None:
    usual = {"created_at": NOW - 60, "error": None}
    hook = {"id": "hook-1", "url": "https://a.example/x", "last_delivery": None if last is None else usual | last}
    found = find_alerts([], ALL_THERE, now=NOW, webhooks=[cast("WebhookObject", hook)])
    assert [alert.query for alert in found] == ([{"section": "Webhooks", "webhook": "hook-1"}] if sentence else [])
    assert all(sentence in alert.text and alert.text.startswith("https://a.example/x: ") for alert in found if sentence)
