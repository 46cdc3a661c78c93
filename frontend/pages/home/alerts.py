"""What wants a person: jobs, checks, exports, files and webhooks that failed or stand still, missing workers.

Pure: from what the API says to sentences with a way to the place where something can be done.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from frontend.api.organisation import Webhook, Worker
from frontend.api.types import Check, DataFile, Job
from frontend.words import units
from frontend.words.job_states import MOVING

RECENT_S = 3 * 86_400
"""A job that failed longer ago wants nobody any more."""
TOLD_S = 7 * 86_400
"""A message to a webhook is tried for some three days (`backend/webhooks.py`), and told of for some more."""
CHECKS = {"self_check": "the verifier's self-check", "preflight": "the pre-flight"}
QUEUES = {
    "train": "No worker for training has been seen in the last minute, so no job can start.",
    "check": "No worker for checks has been seen in the last minute, so verifiers cannot be tried.",
    "sample": "No worker that samples has been seen in the last minute, so no pre-flight and no export can be made.",
    "chat": "No chat server has been seen in the last minute, so what was trained cannot be asked.",
}
NEEDED = frozenset({"train", "check"})
"""Queues that are missed at once; the others where there is something for them to do."""
SAMPLED = frozenset({"preflight", "teacher_preview", "export"})
"""Kinds of checks that wait in the queue `sample`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """`job`: whose page helps; `page` with `query`: another one that does. None where it is about the installation."""

    level: Literal["bad", "look"]
    title: str
    text: str
    job: Job | None = None
    page: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)


def wants(
    jobs: Sequence[Job],
    workers: Sequence[Worker],
    *,
    now: float,
    checks: Sequence[Check] = (),
    files: Sequence[DataFile] = (),
    webhooks: Sequence[Webhook] = (),
) -> list[Alert]:
    """The most pressing first."""
    found = [
        *_of_workers(jobs, workers, checks),
        *(want for job in jobs if (want := _of_job(job, now=now))),
        *(_of_file(file) for file in files if file["status"] == "error"),
        *(want for check in checks if (want := _of_export(check, now=now))),
        *(want for hook in webhooks if (want := _of_webhook(hook, now=now))),
    ]
    return sorted(found, key=lambda want: want.level != "bad")


def _of_workers(jobs: Sequence[Job], workers: Sequence[Worker], checks: Sequence[Check]) -> Iterator[Alert]:
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
            many = f" {units.count(count, noun)} wait{'s' if count == 1 else ''}." if count and queue != "chat" else ""
            text = f"{sentence}{many} Start one with `rlsd up`, or `rlsd worker --queue {queue}`."
            pressing = count > 0 and queue != "chat"
            yield Alert(level="bad" if pressing else "look", title="No worker seen", text=text)


def _of_file(file: DataFile) -> Alert:
    text = file["status_details"] or "Upload it again."
    title = f"{file['filename']} could not be read"
    return Alert(level="look", title=title, text=text, page="datasets", query={"dataset": file["id"]})


def _of_export(check: Check, *, now: float) -> Alert | None:
    recent = now - (check["finished_at"] or now) < RECENT_S
    if check["kind"] != "export" or check["status"] != "failed" or check["job_id"] is None or not recent:
        return None
    text = (check["error"] or {}).get("message") or "Its job's page tells the last that is known."
    query = {"job": check["job_id"], "view": "Downloads"}
    return Alert(level="look", title="An export failed", text=text, page="job", query=query)


def _of_webhook(hook: Webhook, *, now: float) -> Alert | None:
    """The newest message to it was not taken."""
    last = hook["last_delivery"]
    if last is None or last["error"] is None or now - last["created_at"] >= TOLD_S:
        return None
    again = "It is tried again" if last["status"] == "pending" else "It is not tried again"
    text = f"{hook['url']}: {last['error'].rstrip('.')}. {again}. Settings shows each delivery and sends a test."
    query = {"section": "Webhooks", "webhook": hook["id"]}
    return Alert(level="look", title="A webhook does not take its messages", text=text, page="settings", query=query)


def _of_job(job: Job, *, now: float) -> Alert | None:
    message = (job["error"] or {}).get("message") or ""
    failed_check = _failed_check(job)
    if job["status"] == "failed" and now - (job["finished_at"] or now) < RECENT_S:
        return Alert(level="bad", title="failed", text=message or "Its page tells the last that is known.", job=job)
    if job["status"] == "paused":
        if failed_check:
            return Alert(level="bad", title="waits for you: a check failed", text=failed_check, job=job)
        return Alert(level="look", title="is paused", text=message or "Resume it to go on, or cancel it.", job=job)
    if failed_check and job["status"] in MOVING and job["x_checks"]["overridden_at"] is None:
        return Alert(level="look", title="goes on although a check failed", text=failed_check, job=job)
    return None


def _failed_check(job: Job) -> str | None:
    checks = job["x_checks"]
    for name, words in CHECKS.items():
        found = checks["self_check"] if name == "self_check" else checks["preflight"]
        if found is not None and found["verdict"] == "fail":
            return f"In {words}: {found['summary']}"
    return None
