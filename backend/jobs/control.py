"""Every change of a job's state: who may ask for it when, the event that tells of it, the nudge that follows.

People's wishes (`cancel`, `pause`, `resume`) come from the API; `start_running`, `finish` and `put_back` from the
worker that holds the lease; `sweep` from any worker, at intervals.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend import webhooks
from backend.db.base import Json, utc_now
from backend.db.jobs import Job, seconds_held
from backend.errors import AppError, not_found
from backend.jobs import checks, events
from backend.jobs.lease import Lease, held_job
from backend.jobs.lifecycle import OWNED, TERMINAL, ControlSignal, JobState, can_become
from backend.queue import TRAIN_QUEUE, TRAIN_TASK, send_after_commit, waiting
from backend.quotas import require_job

FUTILE_CLAIMS_LIMIT = 5
"""Claims in a row without a new checkpoint after which a job that keeps dying is given up."""

SWEEP_LOCK = 7_215_001
"""Number of the advisory lock that lets one sweep run at a time."""

MESSAGES = {
    JobState.QUEUED: "The job is queued.",
    JobState.RUNNING: "Training has started.",
    JobState.PAUSING: "The job will pause after the current step.",
    JobState.PAUSED: "The job is paused; resume it to go on from its last checkpoint.",
    JobState.SUCCEEDED: "The job has finished; its adapter is ready.",
    JobState.CANCELLED: "The job was cancelled.",
}


def locked_job(session: Session, job_id: str) -> Job:
    job = session.scalar(
        select(Job).where(Job.id == job_id).with_for_update().execution_options(populate_existing=True)
    )
    if job is None:
        raise not_found("fine-tuning job", job_id)
    return job


def enqueue(session: Session, job: Job) -> None:
    """A new or put-back job waits for a worker, which is nudged after the commit."""
    send_after_commit(session, TRAIN_TASK, job.id)


def move(session: Session, job: Job, target: JobState, *, message: str | None = None, level: str = "info") -> None:
    """Change the state and tell of it. A state in which nobody works gives up the lease."""
    assert can_become(JobState(job.state), target), (job.state, target)
    job.state = target
    if target not in OWNED:
        job.held_s = seconds_held()
        job.lease_owner = job.lease_until = job.held_since = None
    if target in TERMINAL:
        job.finished_at = utc_now()
        webhooks.announce(session, job)
    events.record(session, job.id, code=f"job.{target}", message=message or MESSAGES[target], level=level)


def cancel(session: Session, job_id: str) -> Job:
    """Cancel at once where nobody works on the job, else at the next step."""
    job = locked_job(session, job_id)
    if job.state in TERMINAL:
        raise AppError(
            f"Job '{job_id}' has already ended ({job.state}) and cannot be cancelled.",
            status=409,
            code="job_ended",
            type="conflict_error",
        )
    if job.wish != ControlSignal.CANCEL:
        job.wish = ControlSignal.CANCEL
        if job.state in OWNED:
            events.record(session, job.id, code="job.cancelling", message="The job will stop after the current step.")
        else:
            move(session, job, JobState.CANCELLED)
    return job


def pause(session: Session, job_id: str) -> Job:
    job = locked_job(session, job_id)
    if job.state in TERMINAL or job.wish == ControlSignal.CANCEL:
        raise AppError(
            f"Job '{job_id}' is {job.state} and cannot be paused.", status=409, code="job_ended", type="conflict_error"
        )
    if job.wish != ControlSignal.PAUSE:
        job.wish = ControlSignal.PAUSE
        if job.state == JobState.QUEUED:
            move(session, job, JobState.PAUSED)
        elif job.state == JobState.RUNNING:
            move(session, job, JobState.PAUSING)
    return job


def resume(session: Session, job_id: str) -> Job:
    """As a new job it needs room in the quotas of its project."""
    job = locked_job(session, job_id)
    if job.state != JobState.PAUSED:
        raise AppError(
            f"Job '{job_id}' is {job.state}; only a paused job can be resumed.",
            status=409,
            code="job_not_paused",
            type="conflict_error",
        )
    require_job(session)
    if job.error is not None and job.error["code"] == checks.CHECK_FAILED:
        checks.override(session, job)
    job.wish = ControlSignal.RUN
    job.futile_claims = 0
    job.error = None
    move(session, job, JobState.QUEUED, message="The job is queued to go on from its last checkpoint.")
    enqueue(session, job)
    return job


def start_running(session: Session, lease: Lease) -> None:
    job = held_job(session, lease)
    move(session, job, JobState.PAUSING if job.wish == ControlSignal.PAUSE else JobState.RUNNING)


def finish(session: Session, lease: Lease, state: JobState, *, error: Json | None = None) -> Job:
    """End the job under its lease. `error` is `{code, message, param}` and goes with `failed`."""
    job = held_job(session, lease)
    job.error = error
    message = None if error is None else str(error["message"])
    move(session, job, state, message=message, level="error" if state == JobState.FAILED else "info")
    return job


def rest(session: Session, lease: Lease, *, error: Json | None = None) -> Job:
    """Pause the job under its lease, as wished or because of `error` (as in `finish`), which it keeps until resumed.

    A wish to cancel that came since wins.
    """
    job = held_job(session, lease)
    if job.wish == ControlSignal.CANCEL:
        move(session, job, JobState.CANCELLED)
    else:
        job.wish = ControlSignal.PAUSE
        job.error = error
        message = None if error is None else str(error["message"])
        move(session, job, JobState.PAUSED, message=message, level="error" if error else "info")
    return job


def put_back(session: Session, job: Job, *, why: str, orderly: bool = False) -> None:
    """A worker was lost or is going away: end as was wished, give up after too many futile tries, else queue again.

    `orderly`: the worker was asked to go, which is no sign of a job that kills its trainers.
    """
    if orderly:
        job.futile_claims = 0
    if job.wish == ControlSignal.CANCEL:
        move(session, job, JobState.CANCELLED)
    elif job.wish == ControlSignal.PAUSE:
        move(session, job, JobState.PAUSED)
    elif job.futile_claims >= FUTILE_CLAIMS_LIMIT:
        message = (
            f"Gave up after {job.futile_claims} starts in a row without a new checkpoint; the last one: {why} "
            "If memory ran out, lower micro_batch_tokens, batch_size or max_completion_tokens."
        )
        job.error = {"code": "lost", "message": message, "param": None}
        move(session, job, JobState.FAILED, message=message, level="error")
    else:
        move(session, job, JobState.QUEUED, message=f"{why} The job is queued again.", level="warn")
        enqueue(session, job)


def sweep(session: Session) -> int:
    """Put back jobs whose lease has run out; at most one sweep runs at a time. Returns how many were put back."""
    if not session.scalar(select(func.pg_try_advisory_xact_lock(SWEEP_LOCK))):
        return 0
    lost = session.scalars(
        select(Job).where(Job.state.in_(OWNED), Job.lease_until < func.now()).with_for_update(skip_locked=True)
    ).all()
    for job in lost:
        put_back(session, job, why=f"The worker {job.lease_owner} was lost.")
    return len(lost)


def nudge_waiting(session: Session) -> None:
    """Nudge again for all queued jobs, if the broker holds no nudge any more: it may have lost them."""
    if waiting(TRAIN_QUEUE) == 0:
        for job in session.scalars(select(Job).where(Job.state == JobState.QUEUED).order_by(Job.created_at)):
            enqueue(session, job)
