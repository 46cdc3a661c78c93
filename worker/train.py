"""The trainer process of one queued job: reads it from the database, runs the engine on it, and records its end.

Forked by the supervisor with the arguments JOB OWNER FENCE. The end is written under the lease, in one transaction
with the adapter; an end that the trainer cannot write is written by the supervisor. A job on several devices has one
trainer per device (`launch.py`): all read the job, only the leader reports and writes its end, and any of them may
record the fault that ends it (the first one counts).
"""

import json
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session
from torch.distributed import DistError

from backend import blobs
from backend.datasets.rows.rows import load_rows
from backend.db.base import Json
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.jobs import control, events
from backend.jobs.lease import Lease, LeaseLostError, held_job
from backend.jobs.lifecycle import JobState
from backend.jobs.spec import RlsdSettings
from backend.settings import settings as environment
from backend.stack.logs import configure_logs
from backend.tracking.choice import enabled_trackers
from backend.tracking.run import TrackedRun, flat
from backend.verifiers.specs import parse_spec
from worker.checks.before_training import run_checks, self_check
from worker.checks.preflight import heartbeat, preflight_step
from worker.engine import loop
from worker.engine.distributed import ProcessLost
from worker.engine.measure import device_name
from worker.engine.model.policy import Policy
from worker.engine.types import Ending
from worker.exports.adapter_zip import write_adapter_zip
from worker.faults import PAUSES, classify
from worker.sandbox.pool import Sandbox
from worker.training.database_observer import DatabaseObserver, newest_checkpoint
from worker.training.manifest import base_name, job_manifest
from worker.training.prepare import (
    engine_settings,
    identity,
    load_shared,
    load_teacher,
    sandboxed_reward,
    tasks_of,
    use_threads,
)
from worker.training.process_group import join_process_group
from worker.training.tracking import tracked

log = structlog.get_logger()

MAX_TRACEBACK_CHARS = 8_000
"""Characters of a crash's traceback to keep."""


@dataclass(slots=True)
class StopSignal:
    """Set by SIGTERM: the worker is shutting down, so stop at the next step and leave the job to another worker."""

    received: bool = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "received", True))


def main(arguments: list[str]) -> int:
    configure_logs()
    job_id, owner, fence = arguments
    lease = Lease(job_id=job_id, owner=owner, fence=int(fence))
    stop = StopSignal()
    stop.install()
    try:
        train(lease, stop=stop)
    except LeaseLostError:
        log.warning("lease lost, stopping", job=job_id, fence=lease.fence)
        return 1
    except (ProcessLost, DistError):
        log.warning("another process of the job has exited, stopping", job=job_id, fence=lease.fence)
        return 1
    except (OperationalError, InterfaceError):
        traceback.print_exc()  # the database is unreachable: not the job's fault, it goes back to the queue
        return 1
    except Exception as error:  # noqa: BLE001 - the edge of the process: every fault becomes a classified end
        traceback.print_exc()
        _fail(lease, error)
        return 1
    return 0


def train(lease: Lease, *, stop: StopSignal) -> None:
    with transaction() as session:
        job = held_job(session, lease)
        rows = load_rows(session, job.training_file)
        validation = None if job.validation_file is None else load_rows(session, job.validation_file)
    spec = RlsdSettings.model_validate(job.spec)
    settings = engine_settings(spec, seed=job.seed)
    verifier = parse_spec(job.grader)
    tasks, held_out = tasks_of(rows, spec=spec, verifier=verifier, seed=job.seed, validation=validation)
    use_threads(processes=spec.devices)
    with join_process_group(processes=spec.devices, device=spec.device) as world, Sandbox() as sandbox:
        verifier_check = self_check(tasks, spec=spec, verifier=verifier, sandbox=sandbox)
        if not run_checks(lease, [verifier_check], spec=spec, world=world):  # before the model, which may take minutes
            return
        policy, world = load_shared(job.model, settings=settings, world=world)
        reward = sandboxed_reward(sandbox, verifier)
        preflight = preflight_step(
            settings, spec=spec, policy=policy, tasks=tasks, reward=reward, progress=heartbeat(lease), world=world
        )
        if not run_checks(lease, [preflight], spec=spec, world=world):
            return
        teacher = load_teacher(spec, settings=settings, student=policy)
        observer = DatabaseObserver(lease, stopping=lambda: stop.received)
        with tracked(
            observer, enabled_trackers(environment()) if world.is_leader else {}, run=_tracked_run(job)
        ) as tracked_observer:
            ending = loop.run(
                settings,
                policy=policy,
                tasks=tasks,
                held_out=held_out,
                reward=reward,
                observer=tracked_observer,
                resume=world.broadcast(
                    _start_job(lease, policy) if world.is_leader else None
                ),  # no reference is kept here: the checkpoint is large
                teacher=teacher,
                world=world,
            )
            tracked_observer.close(ending)
        sandbox_identity = sandbox.identity()
        if world.is_leader:
            _end_job(lease, ending, policy=policy, teacher=teacher, sandbox_identity=sandbox_identity, stop=stop)


def _tracked_run(job: Job) -> TrackedRun:
    about = {"model": job.model, "seed": job.seed, "training_file": job.training_file}
    return TrackedRun(id=job.id, name=job.suffix or job.id, settings=flat(about | job.spec))


def _start_job(lease: Lease, policy: Policy) -> bytes | None:
    """Record that the job runs, and on which device. Returns the checkpoint to resume from, if any."""
    with transaction() as session:
        control.start_running(session, lease)
        held_job(session, lease).device_name = device_name(policy.device)
        return newest_checkpoint(session, lease)


def _end_job(
    lease: Lease, ending: Ending, *, policy: Policy, teacher: Policy | None, sandbox_identity: Json, stop: StopSignal
) -> None:
    if ending is Ending.DONE:
        _succeed(lease, policy, teacher=teacher, sandbox_identity=sandbox_identity)
        return
    with transaction() as session:
        job = held_job(session, lease)
        if ending is Ending.CANCELLED:
            control.finish(session, lease, JobState.CANCELLED)
        elif ending in PAUSES:
            control.pause_held(session, lease, error=PAUSES[ending])
        elif stop.received:
            control.release(session, job, why="The worker was stopped.", orderly=True)
        else:
            control.pause_held(session, lease)


def _succeed(lease: Lease, policy: Policy, *, teacher: Policy | None, sandbox_identity: Json) -> None:
    with transaction() as session:
        job = held_job(session, lease)
        manifest = job_manifest(
            session,
            job,
            step=job.step,
            base=identity(job.model, policy),
            teacher=None if teacher is None else identity(job.spec["teacher_model"], teacher),
            sandbox=sandbox_identity,
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "adapter.zip"
        write_adapter_zip(policy, path, base_model=base_name(manifest), manifest=manifest)
        with transaction() as session, path.open("rb") as file:
            job = held_job(session, lease)
            blob = blobs.put(session, iter(lambda: file.read(blobs.CHUNK_BYTES), b""))
            job.adapter_sha256 = blob.sha256
            job.manifest = manifest
            job.fine_tuned_model = job.adapter_name
            _warn_if_nothing_learned(session, job)
            control.finish(session, lease, JobState.SUCCEEDED)


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


def _fail(lease: Lease, error: Exception) -> None:
    """Record the classified fault as the job's end, unless the job has ended or the lease was lost."""
    fault = classify(error)
    try:
        with transaction() as session:
            trace = "".join(traceback.format_exception(error))[-MAX_TRACEBACK_CHARS:].replace("\x00", "\ufffd")
            events.record(
                session,
                lease.job_id,
                code="trainer.fault",
                message=f"The trainer raised {type(error).__name__}.",
                level="error",
                data={"code": fault["code"], "traceback": trace},
            )
            control.finish(session, lease, JobState.FAILED, error=fault)
    except LeaseLostError:
        return
    log.error("job failed", job=lease.job_id, fault=json.dumps(fault))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
