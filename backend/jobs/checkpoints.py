"""Checkpoints of a job: what is kept, and where a job that begins again continues."""

from sqlalchemy import Select, delete, func, literal, or_, select
from sqlalchemy.orm import Session

from backend import blobs
from backend.db.base import utc_now
from backend.db.jobs import Job
from backend.db.training import Checkpoint, Evaluation, Rollout, Step
from backend.ids import new_id
from backend.jobs import events

KEPT_LAST = 2
KEPT_BEST = 3


def store(session: Session, job: Job, data: bytes, *, step: int, score: float | None, kept_step: int | None) -> None:
    """Add a checkpoint, with the held-out score at its step, and delete those that are no longer kept.

    `kept_step`: that of the job's best step so far, where it keeps the best.
    """
    blob = blobs.put(session, [data])
    session.add(
        Checkpoint(id=new_id("ftckpt"), job_id=job.id, step=step, created_at=utc_now(), sha256=blob.sha256, score=score)
    )
    session.flush()
    job.futile_claims = 0
    _prune(session, job, kept_step=kept_step)
    events.announce(session, job.id)


def restore(session: Session, job: Job) -> bytes | None:
    """Return the newest checkpoint and delete all reports of later steps; None if there is no checkpoint.

    An event names the step after which the job goes on, unless it has taken none.
    """
    checkpoint = session.scalar(_newest_first(job).limit(1))
    step = 0 if checkpoint is None else checkpoint.step
    for table in (Step, Rollout):
        session.execute(delete(table).where(table.job_id == job.id, table.step > step))
    beyond = or_(literal(checkpoint is None), Evaluation.step > step, Evaluation.phase == "trained")
    session.execute(delete(Evaluation).where(Evaluation.job_id == job.id, beyond))
    if checkpoint is not None or job.step > 0:
        message = f"Resuming from the checkpoint of step {step}." if checkpoint else "Starting again from step 1."
        events.record(session, job.id, code=events.RESUMED, message=message, data={"step": step})
    job.step = step
    job.trained_tokens = trained_tokens(session, job, step=step)
    return None if checkpoint is None else blobs.read(session, checkpoint.sha256)


def exists(session: Session, job: Job) -> bool:
    """Return whether the job has any checkpoint."""
    return session.scalar(select(Checkpoint.id).where(Checkpoint.job_id == job.id).limit(1)) is not None


def trained_tokens(session: Session, job: Job, *, step: int) -> int:
    """Sum the tokens of all updates up to this step."""
    tokens = func.sum(Step.metrics["update_tokens"].as_float())
    return int(session.scalar(select(tokens).where(Step.job_id == job.id, Step.step <= step)) or 0)


def _prune(session: Session, job: Job, *, kept_step: int | None) -> None:
    """Delete all checkpoints, with their blobs, except the last ones, the best by score and those of `kept_step`."""
    found = session.scalars(_newest_first(job)).all()
    best = sorted((c for c in found if c.score is not None), key=lambda c: (-(c.score or 0.0), -c.step))[:KEPT_BEST]
    kept = {c.id for c in [*found[:KEPT_LAST], *best]} | {c.id for c in found if c.step == kept_step}
    for checkpoint in found:
        if checkpoint.id not in kept:
            session.delete(checkpoint)
            session.flush()
            blobs.drop_unused(session, checkpoint.sha256)


def _newest_first(job: Job) -> Select[Checkpoint]:
    newest = (Checkpoint.step.desc(), Checkpoint.created_at.desc())
    return select(Checkpoint).where(Checkpoint.job_id == job.id).order_by(*newest)
