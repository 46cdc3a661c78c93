"""Observer that writes a run's reports to Postgres: one transaction per report, each under the job's lease."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, insert, literal, or_, select
from sqlalchemy.orm import Session

from backend import blobs
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.training import Checkpoint, Evaluation, Rollout, Step
from backend.ids import new_id
from backend.jobs import events
from backend.jobs.lease import Lease, held_job
from backend.jobs.lifecycle import ControlSignal as JobSignal
from backend.tracking.run import Figures
from backend.tracking.whole import figures_of
from backend.verifiers.record import ScoreRecord
from worker.engine import observer
from worker.engine.observer import Checkpoint as EngineCheckpoint
from worker.engine.types import ControlSignal
from worker.training.manifest import trained_tokens

KEPT_LAST = 2
KEPT_BEST = 3


class DatabaseObserver:
    """The engine's observer for a queued job. `stopping` returns whether this worker is shutting down."""

    def __init__(self, lease: Lease, *, stopping: Callable[[], bool]) -> None:
        self.lease = lease
        self.stopping = stopping

    def control_signal(self) -> ControlSignal:
        with transaction() as session:
            job = held_job(session, self.lease)
            job.progress_at = utc_now()  # called between steps and within evaluations: the trainer is alive
            requested = job.control_signal
        if requested == JobSignal.CANCEL:
            return ControlSignal.CANCEL
        return ControlSignal.PAUSE if requested == JobSignal.PAUSE or self.stopping() else ControlSignal.CONTINUE

    def step(self, report: observer.StepReport) -> None:
        with transaction() as session:
            job = held_job(session, self.lease)
            job.step = report.step
            job.progress_at = now = utc_now()
            job.trained_tokens += int(report.metrics["update_tokens"])
            session.add(Step(job_id=job.id, step=report.step, created_at=now, metrics=report.metrics))
            session.execute(
                insert(Rollout),
                [
                    _rollout_row(rollout) | {"job_id": job.id, "step": report.step, "number": number}
                    for number, rollout in enumerate(report.rollouts)
                ],
            )
            events.announce(session, job.id)

    def evaluation(self, report: observer.EvaluationReport) -> None:
        with transaction() as session:
            job = held_job(session, self.lease)
            job.progress_at = now = utc_now()
            session.merge(
                Evaluation(job_id=job.id, step=report.step, phase=report.phase, created_at=now, result=asdict(report))
            )
            events.record(
                session,
                job.id,
                code=f"evaluation.{report.phase}",
                message=f"Held-out accuracy after {report.step} steps: {report.mean:.3f} "
                f"[{report.low:.3f}, {report.high:.3f}], {report.n} questions, {report.k} samples each"
                f"{report.left_out}.",
            )

    def checkpoint(self, checkpoint: EngineCheckpoint) -> None:
        with transaction() as session:
            job = held_job(session, self.lease)
            blob = blobs.put(session, [checkpoint.data])
            session.add(
                Checkpoint(
                    id=new_id("ftckpt"),
                    job_id=job.id,
                    step=checkpoint.step,
                    created_at=utc_now(),
                    sha256=blob.sha256,
                    score=checkpoint.score,
                )
            )
            session.flush()
            job.futile_claims = 0
            job.progress_at = utc_now()
            _prune(session, job.id)
            events.announce(session, job.id)

    def figures(self) -> list[Figures]:
        """All figures of the job so far, by this trainer and earlier ones."""
        with transaction() as session:
            steps = session.scalars(select(Step).where(Step.job_id == self.lease.job_id)).all()
            evaluations = session.scalars(select(Evaluation).where(Evaluation.job_id == self.lease.job_id)).all()
        return figures_of(
            [{"step": s.step, "values": s.metrics, "created_at": s.created_at.timestamp()} for s in steps],
            [e.result | {"created_at": e.created_at.timestamp()} for e in evaluations],
        )

    def event(self, *, level: str, code: str, message: str) -> None:
        with transaction() as session:
            held_job(session, self.lease)
            events.record(session, self.lease.job_id, code=code, message=message, level=level)


def newest_checkpoint(session: Session, lease: Lease) -> bytes | None:
    """Return the newest checkpoint and delete all reports of later steps; None if there is no checkpoint."""
    job = held_job(session, lease)
    checkpoint = session.scalar(
        select(Checkpoint)
        .where(Checkpoint.job_id == job.id)
        .order_by(Checkpoint.step.desc(), Checkpoint.created_at.desc())
        .limit(1)
    )
    step = 0 if checkpoint is None else checkpoint.step
    for table in (Step, Rollout):
        session.execute(delete(table).where(table.job_id == job.id, table.step > step))
    beyond = or_(literal(checkpoint is None), Evaluation.step > step, Evaluation.phase == "trained")
    session.execute(delete(Evaluation).where(Evaluation.job_id == job.id, beyond))
    job.step = step
    job.trained_tokens = trained_tokens(session, job.id, step=step)
    if checkpoint is None:
        return None
    events.record(
        session,
        job.id,
        code=events.RESUMED,
        message=f"Resuming from the checkpoint of step {step}.",
        data={"step": step},
    )
    return blobs.read(session, checkpoint.sha256)


def _rollout_row(rollout: observer.RolloutReport) -> dict[str, object]:
    record = rollout.record
    assert isinstance(record, ScoreRecord)
    return {
        "row": rollout.row,
        "sample": rollout.sample,
        "completion": _storable(rollout.completion),
        "record": _storable(record.to_json()),
        "advantage": rollout.advantage,
        "truncated": rollout.truncated,
        "has_tokens": rollout.tokens is not None,
        "tokens": None if rollout.tokens is None else _storable(asdict(rollout.tokens)),
    }


def _storable(value: Any) -> Any:
    """Replace NUL characters by U+FFFD: Postgres stores them neither in text nor in JSON."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, dict):
        return {key: _storable(inner) for key, inner in value.items()}
    return [_storable(inner) for inner in value] if isinstance(value, list | tuple) else value


def _prune(session: Session, job_id: str) -> None:
    """Delete all checkpoints, with their blobs, except the last ones and the best by held-out score."""
    newest_first = (
        select(Checkpoint)
        .where(Checkpoint.job_id == job_id)
        .order_by(Checkpoint.step.desc(), Checkpoint.created_at.desc())
    )
    found = session.scalars(newest_first).all()
    best = sorted((c for c in found if c.score is not None), key=lambda c: (-(c.score or 0.0), -c.step))[:KEPT_BEST]
    kept = {c.id for c in [*found[:KEPT_LAST], *best]}
    for checkpoint in found:
        if checkpoint.id not in kept:
            session.delete(checkpoint)
            session.flush()
            blobs.drop_unused(session, checkpoint.sha256)
