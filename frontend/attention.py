"""What on the installation wants a person: jobs that stand still or failed, checks that failed, workers not seen.

Pure: from what the API says to sentences with a way to the place where something can be done.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from frontend import units
from frontend.client.people import Worker
from frontend.job_states import MOVING
from frontend.shapes import Job

RECENT_S = 3 * 86_400
"""A job that failed longer ago wants nobody any more."""
CHECKS = {"self_check": "the verifier's self-check", "preflight": "the pre-flight"}
QUEUES = {
    "train": "No worker for training has been seen in the last minute, so no job can start.",
    "check": "No worker for checks has been seen in the last minute, so verifiers cannot be tried.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """`job`: whose page helps; None where it is about the installation."""

    level: Literal["bad", "look"]
    title: str
    text: str
    job: Job | None = None


def wants(jobs: Sequence[Job], workers: Sequence[Worker], *, now: float) -> list[Want]:
    """The most pressing first."""
    found = [*_of_workers(jobs, workers), *(want for job in jobs if (want := _of_job(job, now=now)))]
    return sorted(found, key=lambda want: want.level != "bad")


def _of_workers(jobs: Sequence[Job], workers: Sequence[Worker]) -> Iterator[Want]:
    served = {queue for worker in workers for queue in worker["queues"]}
    waiting = sum(job["status"] == "queued" for job in jobs)
    for queue, sentence in QUEUES.items():
        if queue not in served:
            many = f" {units.count(waiting, 'job')} wait{'s' if waiting == 1 else ''}." if queue == "train" else ""
            text = f"{sentence}{many if waiting else ''} Start one with `rlsd up`, or `rlsd worker --queue {queue}`."
            pressing = queue == "train" and waiting > 0
            yield Want(level="bad" if pressing else "look", title="No worker seen", text=text)


def _of_job(job: Job, *, now: float) -> Want | None:
    message = (job["error"] or {}).get("message") or ""
    failed_check = _failed_check(job)
    if job["status"] == "failed" and now - (job["finished_at"] or now) < RECENT_S:
        return Want(level="bad", title="failed", text=message or "Its page tells the last that is known.", job=job)
    if job["status"] == "paused":
        if failed_check:
            return Want(level="bad", title="waits for you: a check failed", text=failed_check, job=job)
        return Want(level="look", title="is paused", text=message or "Resume it to go on, or cancel it.", job=job)
    if failed_check and job["status"] in MOVING and job["x_checks"]["overridden_at"] is None:
        return Want(level="look", title="goes on although a check failed", text=failed_check, job=job)
    return None


def _failed_check(job: Job) -> str | None:
    checks = job["x_checks"]
    for name, words in CHECKS.items():
        found = checks["self_check"] if name == "self_check" else checks["preflight"]
        if found is not None and found["verdict"] == "fail":
            return f"In {words}: {found['summary']}"
    return None
