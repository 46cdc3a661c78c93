"""State changes of jobs: when each is allowed, the event it records, the task message that follows.

The API calls `cancel`, `pause` and `resume`; the worker that holds the lease acts through `lease.HeldJob`; any worker
calls `sweep` periodically.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend import webhooks
from backend.core.control import ControlSignal, EventLevel
from backend.db.base import utc_now
from backend.db.jobs import Job, seconds_held
from backend.errors import AppError, not_found
from backend.jobs import checks, events
from backend.jobs.lifecycle import OWNED, TERMINAL, JobState, can_become
from backend.queue import TRAIN_QUEUE, TRAIN_TASK, queue_length, send_after_commit
from backend.quotas import require_job

FUTILE_CLAIMS_LIMIT = 5
"""Consecutive claims without a new checkpoint after which a crashing job fails."""

SWEEP_LOCK = 7_215_001
"""Number of the advisory lock that ensures only one sweep runs at a time."""

MESSAGES = {
    JobState.QUEUED: "The job is queued.",
    JobState.RUNNING: "Training has started.",
    JobState.PAUSING: "The job will pause after the current step.",
    JobState.PAUSED: "The job is paused; resume it to continue from its last checkpoint.",
    JobState.SUCCEEDED: "The job has finished; its adapter is ready.",
    JobState.CANCELLED: "The job was cancelled.",
}


def lock_job(session: Session, job: Job) -> None:
    """Lock the job's row and read it again. Raises AppError 404 if it was deleted meanwhile."""
    own = select(Job).where(Job.id == job.id, Job.project_id == job.project_id)
    if session.scalar(own.with_for_update().execution_options(populate_existing=True)) is None:
        raise not_found("fine-tuning job", job.id)


def enqueue(session: Session, job: Job) -> None:
    """Send the job to the training queue after the commit."""
    send_after_commit(session, TRAIN_TASK, job.id)


def set_state(
    session: Session, job: Job, target: JobState, *, message: str | None = None, level: EventLevel = "info"
) -> None:
    """Change the state and record an event. States without a worker release the lease."""
    assert can_become(JobState(job.state), target), (job.state, target)
    job.state = target
    if target not in OWNED:
        job.held_s = seconds_held()
        job.lease_owner = job.lease_until = job.held_since = None
    if target in TERMINAL:
        job.finished_at = utc_now()
        webhooks.announce(session, job)
    events.record(session, job.id, code=f"job.{target}", message=message or MESSAGES[target], level=level)


def cancel(session: Session, job: Job) -> Job:
    """Cancel immediately if no worker holds the job, otherwise at the next step."""
    lock_job(session, job)
    if job.state in TERMINAL:
        raise AppError(
            f"Job '{job.id}' has already ended ({job.state}) and cannot be cancelled.",
            status=409,
            code="job_ended",
            type="conflict_error",
        )
    if job.control_signal != ControlSignal.CANCEL:
        job.control_signal = ControlSignal.CANCEL
        if job.state in OWNED:
            events.record(session, job.id, code="job.cancelling", message="The job will stop after the current step.")
        else:
            set_state(session, job, JobState.CANCELLED)
    return job


def pause(session: Session, job: Job) -> Job:
    lock_job(session, job)
    if job.state in TERMINAL or job.control_signal == ControlSignal.CANCEL:
        raise AppError(
            f"Job '{job.id}' is {job.state} and cannot be paused.", status=409, code="job_ended", type="conflict_error"
        )
    if job.control_signal != ControlSignal.PAUSE:
        job.control_signal = ControlSignal.PAUSE
        if job.state == JobState.QUEUED:
            set_state(session, job, JobState.PAUSED)
        elif job.state == JobState.RUNNING:
            set_state(session, job, JobState.PAUSING)
    return job


def resume(session: Session, job: Job) -> Job:
    """Queue a paused job again. Like a new job, it counts against the quotas of its project."""
    lock_job(session, job)
    if job.state != JobState.PAUSED:
        raise AppError(
            f"Job '{job.id}' is {job.state}; only a paused job can be resumed.",
            status=409,
            code="job_not_paused",
            type="conflict_error",
        )
    require_job(session, project=job.project_id)
    if job.error is not None and job.error["code"] == checks.CHECK_FAILED:
        checks.override(session, job)
    job.control_signal = ControlSignal.RUN
    job.futile_claims = 0
    job.error = None
    set_state(session, job, JobState.QUEUED, message="The job is queued to continue from its last checkpoint.")
    enqueue(session, job)
    return job


def release(session: Session, job: Job, *, why: str, orderly: bool = False) -> None:
    """Release the job of a lost or stopping worker: cancel or pause as requested, fail after `FUTILE_CLAIMS_LIMIT`
    claims without progress, otherwise queue again.

    `orderly`: the worker was asked to stop, so the claim does not count as a crash.
    """
    if orderly:
        job.futile_claims = 0
    if job.control_signal == ControlSignal.CANCEL:
        set_state(session, job, JobState.CANCELLED)
    elif job.control_signal == ControlSignal.PAUSE:
        set_state(session, job, JobState.PAUSED)
    elif job.futile_claims >= FUTILE_CLAIMS_LIMIT:
        message = (
            f"Stopped after {job.futile_claims} consecutive starts without a new checkpoint. Last failure: {why} "
            "If memory ran out, lower micro_batch_tokens, batch_size or max_completion_tokens."
        )
        job.error = {"code": "lost", "message": message, "param": None}
        set_state(session, job, JobState.FAILED, message=message, level="error")
    else:
        set_state(session, job, JobState.QUEUED, message=f"{why} The job is queued again.", level="warn")
        enqueue(session, job)


def sweep(session: Session) -> int:
    """Release jobs whose lease has expired and return their number. At most one sweep runs at a time."""
    if not session.scalar(select(func.pg_try_advisory_xact_lock(SWEEP_LOCK))):
        return 0
    lost = session.scalars(
        select(Job).where(Job.state.in_(OWNED), Job.lease_until < func.now()).with_for_update(skip_locked=True)
    ).all()
    for job in lost:
        release(session, job, why=f"The worker {job.lease_owner} was lost.")
    return len(lost)


def resend_queued(session: Session) -> None:
    """Send all queued jobs to the broker again if its queue is empty: it may have lost the messages."""
    if queue_length(TRAIN_QUEUE) == 0:
        for job in session.scalars(select(Job).where(Job.state == JobState.QUEUED).order_by(Job.created_at)):
            enqueue(session, job)
