"""Sink that records a queued job in Postgres: one transaction per report, each under the job's lease."""

import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, literal, or_, select
from sqlalchemy.orm import Session

from backend import blobs
from backend.core.control import ControlSignal
from backend.core.settings.spec import RlsdSettings
from backend.datasets.rows.rows import load_rows
from backend.db.base import Json, utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Checkpoint, Evaluation, Rollout, Step
from backend.ids import new_id
from backend.jobs import checks, control, events
from backend.jobs.checks import CheckName
from backend.jobs.lease import Lease, held_job
from backend.jobs.lifecycle import JobState
from backend.tracking.run import Figures, TrackedRun, flat
from backend.tracking.whole import figures_of
from backend.verifiers.record import ScoreRecord
from backend.verifiers.specs import parse_spec
from worker.engine import observer
from worker.engine.measure import device_name
from worker.engine.model.policy import Policy
from worker.engine.observer import Checkpoint as EngineCheckpoint
from worker.engine.types import Ending
from worker.exports.adapter_zip import write_adapter_zip
from worker.faults import PAUSES, classify
from worker.runs.run_job import PreparedJob
from worker.training.manifest import base_name, job_manifest, trained_tokens
from worker.training.prepare import identity, tasks_of

KEPT_LAST = 2
KEPT_BEST = 3
MAX_TRACEBACK_CHARS = 8_000
"""Characters of a crash's traceback to keep."""
PROGRESS_S = 5.0
"""Seconds between two records of the pre-flight's progress."""


class DatabaseSink:
    """A sink for the job of a lease. `stopping` returns whether this worker is shutting down.

    Every method but `figures` raises LeaseLostError if the lease no longer holds, and records that the trainer is
    alive.
    """

    def __init__(self, lease: Lease, *, stopping: Callable[[], bool]) -> None:
        self.lease = lease
        self.stopping = stopping
        self._progress_at = time.monotonic()

    @contextmanager
    def _held(self) -> Iterator[tuple[Session, Job]]:
        """Yield a transaction and the job, which it locks."""
        with transaction() as session:
            job = held_job(session, self.lease)
            job.progress_at = utc_now()
            yield session, job

    def prepared(self) -> PreparedJob:
        """Read the job. Raises AppError or Fault if its rows do not fit its settings."""
        with self._held() as (session, job):
            rows = load_rows(session, job.training_file)
            validation = None if job.validation_file is None else load_rows(session, job.validation_file)
        spec, grader = RlsdSettings.model_validate(job.spec), parse_spec(job.grader)
        tasks, held_out = tasks_of(rows, spec=spec, verifier=grader, seed=job.seed, validation=validation)
        return PreparedJob(model=job.model, seed=job.seed, spec=spec, grader=grader, tasks=tasks, held_out=held_out)

    def tracked_as(self) -> TrackedRun:
        with self._held() as (_, job):
            about = {"model": job.model, "seed": job.seed, "training_file": job.training_file}
            return TrackedRun(id=job.id, name=job.suffix or job.id, settings=flat(about | job.spec))

    def is_due(self, check: CheckName) -> bool:
        with self._held() as (session, job):
            begun = session.scalar(select(Checkpoint.id).where(Checkpoint.job_id == job.id).limit(1))
            return begun is None and checks.checks_of(job)[check] is None

    def record_check(self, check: CheckName, result: Json) -> bool:
        """Record the result, and pause the job in the same transaction if it failed."""
        with self._held() as (session, job):
            checks.record(session, job, check=check, result=result)
            if checks.pauses(result, on_failed_check=RlsdSettings.model_validate(job.spec).on_failed_check):
                control.pause_held(session, self.lease, error=checks.pause_error(check, result))
                return False
            return True

    def progress(self, _done: int, _total: int, _unit: str) -> None:
        if time.monotonic() - self._progress_at >= PROGRESS_S:
            self._progress_at = time.monotonic()
            with self._held():
                pass

    def begin(self, policy: Policy) -> bytes | None:
        """Record that the job runs, and on which device."""
        with self._held() as (session, job):
            control.start_running(session, self.lease)
            job.device_name = device_name(policy.device)
            return _newest_checkpoint(session, job)

    def control_signal(self) -> ControlSignal:
        with self._held() as (_, job):
            requested = job.control_signal
        stopping = requested == ControlSignal.RUN and self.stopping()
        return ControlSignal.PAUSE if stopping else ControlSignal(requested)

    def step(self, report: observer.StepReport) -> None:
        with self._held() as (session, job):
            job.step = report.step
            job.trained_tokens += int(report.metrics["update_tokens"])
            session.add(Step(job_id=job.id, step=report.step, created_at=utc_now(), metrics=report.metrics))
            session.execute(
                insert(Rollout),
                [
                    _rollout_row(rollout) | {"job_id": job.id, "step": report.step, "number": number}
                    for number, rollout in enumerate(report.rollouts)
                ],
            )
            events.announce(session, job.id)

    def evaluation(self, report: observer.EvaluationReport) -> None:
        with self._held() as (session, job):
            result = asdict(report)
            session.merge(
                Evaluation(job_id=job.id, step=report.step, phase=report.phase, created_at=utc_now(), result=result)
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
        with self._held() as (session, job):
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
        with self._held() as (session, job):
            events.record(session, job.id, code=code, message=message, level=level)

    def end(self, ending: Ending, *, policy: Policy, teacher: Policy | None, sandbox: Json) -> None:
        if ending is Ending.DONE:
            self._succeed(policy, teacher=teacher, sandbox=sandbox)
            return
        with self._held() as (session, job):
            if ending is Ending.CANCELLED:
                control.finish(session, self.lease, JobState.CANCELLED)
            elif ending in PAUSES:
                control.pause_held(session, self.lease, error=PAUSES[ending])
            elif self.stopping():
                control.release(session, job, why="The worker was stopped.", orderly=True)
            else:
                control.pause_held(session, self.lease)

    def _succeed(self, policy: Policy, *, teacher: Policy | None, sandbox: Json) -> None:
        """Store the adapter and end the job, in one transaction."""
        with self._held() as (session, job):
            manifest = job_manifest(
                session,
                job,
                step=job.step,
                base=identity(job.model, policy),
                teacher=None if teacher is None else identity(job.spec["teacher_model"], teacher),
                sandbox=sandbox,
            )
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "adapter.zip"
            write_adapter_zip(policy, path, base_model=base_name(manifest), manifest=manifest)
            with self._held() as (session, job), path.open("rb") as file:
                blob = blobs.put(session, iter(lambda: file.read(blobs.CHUNK_BYTES), b""))
                job.adapter_sha256 = blob.sha256
                job.manifest = manifest
                job.fine_tuned_model = job.adapter_name
                _warn_if_nothing_learned(session, job)
                control.finish(session, self.lease, JobState.SUCCEEDED)

    def fail(self, error: Exception) -> Json:
        """End the job with the classified error, which is returned; its traceback goes to an event."""
        fault = classify(error)
        trace = "".join(traceback.format_exception(error))[-MAX_TRACEBACK_CHARS:]
        with self._held() as (session, job):
            events.record(
                session,
                job.id,
                code="trainer.fault",
                message=f"The trainer raised {type(error).__name__}.",
                level="error",
                data={"code": fault["code"], "traceback": _storable(trace)},
            )
            control.finish(session, self.lease, JobState.FAILED, error=fault)
        return fault


def _warn_if_nothing_learned(session: Session, job: Job) -> None:
    """Warn if no completion of any step had a signal: the adapter then has no effect."""
    if job.trained_tokens == 0:
        events.record(
            session,
            job.id,
            code="nothing_learned",
            level="warn",
            message="Nothing was learned, and the adapter has no effect: no completion of any step had a training "
            "signal, usually because all completions of a question got the same score. Check the verifier, or use a "
            "model that answers some of the questions correctly.",
        )


def _newest_checkpoint(session: Session, job: Job) -> bytes | None:
    """Return the newest checkpoint and delete all reports of later steps; None if there is no checkpoint."""
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
