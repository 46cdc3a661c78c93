"""Alerts: jobs, checks, exports, files and webhooks that failed or are paused, and missing workers.

Pure: from API objects to sentences with a link to the page where the user can act.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from frontend.api.types import CheckObject, FileObject, JobObject, WebhookObject, WorkerObject
from frontend.words import units
from frontend.words.job_states import MOVING

RECENT_S = 3 * 86_400
"""A job that failed longer ago causes no alert."""
WEBHOOK_RECENT_S = 7 * 86_400
"""Deliveries to a webhook are retried for about three days; the alert stays some days longer."""
CHECKS = {"self_check": "the verifier's self-check", "preflight": "the pre-flight"}
QUEUES = {
    "train": "No training worker has reported in the last minute, so no job can start.",
    "check": "No check worker has reported in the last minute, so verifiers cannot be tested.",
    "sample": "No sampling worker has reported in the last minute, so pre-flights and exports cannot run.",
    "chat": "No chat worker has reported in the last minute, so trained models cannot answer.",
}
NEEDED = frozenset({"train", "check"})
"""Queues that always need a worker; the others only if they have work."""
SAMPLED = frozenset({"preflight", "teacher_preview", "export"})
"""Kinds of checks in the queue `sample`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert. Links to the page of `job`, or to `page` with `query`; to none if it is about the installation."""

    level: Literal["bad", "warn"]
    title: str
    text: str
    job: JobObject | None = None
    page: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)


def find_alerts(
    jobs: Sequence[JobObject],
    workers: Sequence[WorkerObject],
    *,
    now: float,
    checks: Sequence[CheckObject] = (),
    files: Sequence[FileObject] = (),
    webhooks: Sequence[WebhookObject] = (),
) -> list[Alert]:
    """Return all alerts, the most urgent first."""
    found = [
        *_of_workers(jobs, workers, checks),
        *(alert for job in jobs if (alert := _of_job(job, now=now))),
        *(_of_file(file) for file in files if file["status"] == "error"),
        *(alert for check in checks if (alert := _of_export(check, now=now))),
        *(alert for hook in webhooks if (alert := _of_webhook(hook, now=now))),
    ]
    return sorted(found, key=lambda alert: alert.level != "bad")


def _of_workers(
    jobs: Sequence[JobObject], workers: Sequence[WorkerObject], checks: Sequence[CheckObject]
) -> Iterator[Alert]:
    served = {queue for worker in workers for queue in worker["queues"]}
    queued = [check["kind"] in SAMPLED for check in checks if check["status"] == "queued"]
    waiting = {
        "train": (sum(job["status"] == "queued" for job in jobs), "job"),
        "check": (queued.count(False), "check"),
        "sample": (queued.count(True), "check"),
        "chat": (sum(job["fine_tuned_model"] is not None for job in jobs), "trained model"),
    }
    for queue, sentence in QUEUES.items():
        count, noun = waiting[queue]
        if queue not in served and (count or queue in NEEDED):
            many = (
                f" {units.count(count, noun)} {'is' if count == 1 else 'are'} waiting."
                if count and queue != "chat"
                else ""
            )
            text = f"{sentence}{many} Start one with `rlsd up`, or `rlsd worker --queue {queue}`."
            urgent = count > 0 and queue != "chat"
            yield Alert(level="bad" if urgent else "warn", title="No worker is running", text=text)


def _of_file(file: FileObject) -> Alert:
    text = file["status_details"] or "Upload it again."
    title = f"{file['filename']} could not be read"
    return Alert(level="warn", title=title, text=text, page="datasets", query={"dataset": file["id"]})


def _of_export(check: CheckObject, *, now: float) -> Alert | None:
    recent = now - (check["finished_at"] or now) < RECENT_S
    if check["kind"] != "export" or check["status"] != "failed" or check["job_id"] is None or not recent:
        return None
    text = check["error"]["message"] if check["error"] else "The job page shows the details."
    query = {"job": check["job_id"], "view": "Downloads"}
    return Alert(level="warn", title="An export failed", text=text, page="job", query=query)


def _of_webhook(hook: WebhookObject, *, now: float) -> Alert | None:
    """Return an alert if the latest delivery to the webhook failed."""
    last = hook["last_delivery"]
    if last is None or last["error"] is None or now - last["created_at"] >= WEBHOOK_RECENT_S:
        return None
    again = "It is being retried" if last["status"] == "pending" else "It is not retried any more"
    text = f"{hook['url']}: {last['error'].rstrip('.')}. {again}. Settings lists the deliveries and can send a test."
    query = {"section": "Webhooks", "webhook": hook["id"]}
    return Alert(level="warn", title="A webhook delivery failed", text=text, page="settings", query=query)


def _of_job(job: JobObject, *, now: float) -> Alert | None:
    message = job["error"]["message"] if job["error"] else ""
    failed_check = _failed_check(job)
    if job["status"] == "failed" and now - (job["finished_at"] or now) < RECENT_S:
        return Alert(level="bad", title="failed", text=message or "Its page shows the details.", job=job)
    if job["status"] == "paused":
        if failed_check:
            return Alert(level="bad", title="needs your decision: a check failed", text=failed_check, job=job)
        return Alert(level="warn", title="is paused", text=message or "Resume or cancel it.", job=job)
    if failed_check and job["status"] in MOVING and job["x_checks"]["overridden_at"] is None:
        return Alert(level="warn", title="is running although a check failed", text=failed_check, job=job)
    return None


def _failed_check(job: JobObject) -> str | None:
    checks = job["x_checks"]
    for name, words in CHECKS.items():
        found = checks["self_check"] if name == "self_check" else checks["preflight"]
        if found is not None and found["verdict"] == "fail":
            return f"In {words}: {found['summary']}"
    return None
