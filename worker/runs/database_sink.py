"""Sink that records a queued job in Postgres: one transaction per report, each under the job's lease."""

import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import insert, select

from backend import blobs
from backend.core.checks import CheckName
from backend.core.control import ControlSignal, EventLevel
from backend.core.settings.spec import RlsdSettings
from backend.core.storable import storable
from backend.datasets.rows.rows import load_rows
from backend.db.base import Json, utc_now
from backend.db.engine import transaction
from backend.db.training import Evaluation, Rollout, Step, step_of_model
from backend.jobs import checkpoints, checks, events
from backend.jobs.imitation import beyond_imitation_of
from backend.jobs.lease import HeldJob, Lease
from backend.jobs.lifecycle import JobState
from backend.tracking.run import Figures, TrackedRun, flat
from backend.tracking.whole import figures_of
from backend.verifiers.record import ScoreRecord
from backend.verifiers.specs import parse_spec
from worker.engine import observer
from worker.engine.measure import device_name
from worker.engine.model.policy import Policy
from worker.engine.types import Ending
from worker.exports.adapter_zip import write_adapter_zip
from worker.faults import PAUSES, classify
from worker.training.manifest import base_name, job_manifest
from worker.training.prepare import PreparedJob, identity, tasks_of

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
    def _held(self) -> Iterator[HeldJob]:
        """Yield the job, and record that its trainer is alive."""
        with self.lease.held() as held:
            held.job.progress_at = utc_now()
            yield held

    def prepared(self) -> PreparedJob:
        """Read the job. Raises AppError or Fault if its rows do not fit its settings."""
        with self._held() as held:
            job = held.job
            rows = load_rows(held.session, job.training_file)
            validation = None if job.validation_file is None else load_rows(held.session, job.validation_file)
        spec, grader = RlsdSettings.model_validate(job.spec), parse_spec(job.grader)
        tasks, held_out = tasks_of(rows, spec=spec, verifier=grader, seed=job.seed, validation=validation)
        return PreparedJob(model=job.model, seed=job.seed, spec=spec, grader=grader, tasks=tasks, held_out=held_out)

    def tracked_as(self) -> TrackedRun:
        with self._held() as held:
            job = held.job
            about = {"model": job.model, "seed": job.seed, "training_file": job.training_file}
            return TrackedRun(id=job.id, name=job.suffix or job.id, settings=flat(about | job.spec))

    def is_due(self, check: CheckName) -> bool:
        with self._held() as held:
            begun = checkpoints.exists(held.session, held.job)
            return not begun and checks.checks_of(held.job)[check] is None

    def record_check(self, check: CheckName, result: Json) -> bool:
        """Record the result, and pause the job in the same transaction if it failed."""
        with self._held() as held:
            checks.record(held.session, held.job, check=check, result=result)
            if checks.pauses(result, on_failed_check=RlsdSettings.model_validate(held.job.spec).on_failed_check):
                held.pause(error=checks.pause_error(check, result))
                return False
            return True

    def progress(self, _done: int, _total: int, _unit: str) -> None:
        if time.monotonic() - self._progress_at >= PROGRESS_S:
            self._progress_at = time.monotonic()
            with self._held():
                pass

    def begin(self, policy: Policy) -> bytes | None:
        """Record that the job runs, and on which device."""
        with self._held() as held:
            held.job.device_name = device_name(policy.device)
            return held.begin()

    def control_signal(self) -> ControlSignal:
        with self._held() as held:
            requested = held.job.control_signal
        stopping = requested == ControlSignal.RUN and self.stopping()
        return ControlSignal.PAUSE if stopping else ControlSignal(requested)

    def step(self, report: observer.StepReport) -> None:
        with self._held() as held:
            job = held.job
            job.step, job.warm_steps = report.step, report.warm_steps
            job.max_steps = report.warm_steps + job.spec["max_steps"]
            job.trained_tokens += int(report.metrics["update_tokens"])
            held.session.add(Step(job_id=job.id, step=report.step, created_at=utc_now(), metrics=report.metrics))
            rollouts = [
                _rollout_row(rollout) | {"job_id": job.id, "step": report.step, "number": number}
                for number, rollout in enumerate(report.rollouts)
            ]
            if rollouts:
                held.session.execute(insert(Rollout), rollouts)
            events.announce(held.session, job.id)

    def evaluation(self, report: observer.EvaluationReport) -> None:
        with self._held() as held:
            held.session.merge(
                Evaluation(
                    job_id=held.job.id,
                    step=report.step,
                    phase=report.phase,
                    created_at=utc_now(),
                    result=asdict(report),
                )
            )
            held.record(
                code=f"evaluation.{report.phase}",
                message=f"Held-out accuracy after {report.step} steps: {report.mean:.3f} "
                f"[{report.low:.3f}, {report.high:.3f}], {report.n} questions, {report.k} samples each"
                f"{report.left_out}{report.chosen_by}.",
            )

    def checkpoint(self, checkpoint: observer.Checkpoint) -> None:
        with self._held() as held:
            held.checkpoint(
                checkpoint.data, step=checkpoint.step, score=checkpoint.score, kept_step=checkpoint.kept_step
            )

    def figures(self) -> list[Figures]:
        """All figures of the job so far, by this trainer and earlier ones."""
        with transaction() as session:
            steps = session.scalars(select(Step).where(Step.job_id == self.lease.job_id)).all()
            evaluations = session.scalars(select(Evaluation).where(Evaluation.job_id == self.lease.job_id)).all()
        return figures_of(
            [{"step": s.step, "values": s.metrics, "created_at": s.created_at.timestamp()} for s in steps],
            [e.result | {"created_at": e.created_at.timestamp()} for e in evaluations],
        )

    def event(self, *, level: EventLevel, code: str, message: str) -> None:
        with self._held() as held:
            held.record(code=code, message=message, level=level)

    def end(self, ending: Ending, *, policy: Policy, teacher: Policy | None, sandbox: Json) -> None:
        if ending is Ending.DONE:
            self._succeed(policy, teacher=teacher, sandbox=sandbox)
            return
        with self._held() as held:
            if ending is Ending.CANCELLED:
                held.end(JobState.CANCELLED)
            elif ending in PAUSES:
                held.pause(error=PAUSES[ending])
            elif self.stopping():
                held.release(why="The worker was stopped.", orderly=True)
            else:
                held.pause()

    def _succeed(self, policy: Policy, *, teacher: Policy | None, sandbox: Json) -> None:
        """Store the adapter and end the job, in one transaction."""
        with self._held() as held:
            job = held.job
            manifest = job_manifest(
                held.session,
                job,
                step=step_of_model(held.session, job),
                base=identity(job.model, policy),
                teacher=None if teacher is None else identity(job.spec["teacher_model"], teacher),
                sandbox=sandbox,
            )
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "adapter.zip"
            write_adapter_zip(policy, path, base_model=base_name(manifest), manifest=manifest)
            with self._held() as held, path.open("rb") as file:
                blob = blobs.put(held.session, iter(lambda: file.read(blobs.CHUNK_BYTES), b""))
                held.job.adapter_sha256 = blob.sha256
                held.job.manifest = manifest
                held.job.fine_tuned_model = held.job.adapter_name
                _warn_if_nothing_learned(held)
                _say_what_training_added(held)
                held.end(JobState.SUCCEEDED)

    def fail(self, error: Exception) -> Json:
        """End the job with the classified error, which is returned; its traceback goes to an event."""
        fault = classify(error)
        trace = "".join(traceback.format_exception(error))[-MAX_TRACEBACK_CHARS:]
        with self._held() as held:
            held.record(
                code="trainer.fault",
                message=f"The trainer raised {type(error).__name__}.",
                level="error",
                data={"code": fault["code"], "traceback": storable(trace)},
            )
            held.fail(fault)
        return fault


def _warn_if_nothing_learned(held: HeldJob) -> None:
    """Warn if no completion of any step had a signal: the adapter then has no effect."""
    if held.job.trained_tokens == 0:
        held.record(
            code="nothing_learned",
            level="warn",
            message="Nothing was learned, and the adapter has no effect: no completion of any step had a training "
            "signal, usually because all completions of a question got the same score. Check the verifier, or use a "
            "model that answers some of the questions correctly.",
        )


def _say_what_training_added(held: HeldJob) -> None:
    """Record the verdict on what training added to the imitation before it, if there was any."""
    sentence = beyond_imitation_of(held.session, held.job)
    if sentence is not None:
        held.record(code="beyond_imitation", message=sentence)


def _rollout_row(rollout: observer.RolloutReport) -> dict[str, object]:
    record = rollout.record
    assert isinstance(record, ScoreRecord)
    return {
        "row": rollout.row,
        "sample": rollout.sample,
        "completion": storable(rollout.completion),
        "record": storable(record.to_json()),
        "advantage": rollout.advantage,
        "truncated": rollout.truncated,
        "hint": None if rollout.hint is None else storable(rollout.hint),
        "has_tokens": rollout.tokens is not None,
        "tokens": None if rollout.tokens is None else storable(asdict(rollout.tokens)),
    }
