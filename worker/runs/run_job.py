"""Runs a job: its checks, the training, the end. Queued jobs and `rlsd train` differ in the sink that records them."""

from dataclasses import replace
from typing import Protocol

from backend.db.base import Json
from backend.jobs.components import component_weights
from backend.settings import settings as environment
from backend.tracking.choice import enabled_trackers
from backend.tracking.run import TrackedRun
from worker.checks.before_training import CheckRecord, run_check, self_check
from worker.checks.preflight import preflight_step
from worker.engine import loop
from worker.engine.experiment import Experiment
from worker.engine.model.policy import Policy
from worker.engine.types import Ending
from worker.sandbox.pool import Sandbox
from worker.training.prepare import (
    PreparedJob,
    engine_settings,
    load_shared,
    load_teacher,
    sandboxed_reward,
    use_threads,
)
from worker.training.process_group import join_process_group
from worker.training.tracking import RecordingObserver, tracked


class Sink(RecordingObserver, CheckRecord, Protocol):
    """Where a run is recorded. On several devices, each process has one, and only the leader's is used."""

    def tracked_as(self) -> TrackedRun:
        """Describe the run for trackers."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Receive the progress of the pre-flight."""

    def begin(self, policy: Policy) -> bytes | None:
        """Record that training begins. Returns the checkpoint to resume from, if any."""

    def end(self, ending: Ending, *, policy: Policy, teacher: Policy | None, sandbox: Json) -> None:
        """Record how the run ended, with the adapter of one that is done. `sandbox`: the identity of the sandbox."""


def run_job(job: PreparedJob, sink: Sink) -> None:
    """Run the job to its end, a pause or a check that stops it."""
    spec = job.spec
    use_threads(processes=spec.devices)
    settings = engine_settings(spec, seed=job.seed)
    with join_process_group(processes=spec.devices, device=spec.device) as world, Sandbox() as sandbox:
        verifier_check = self_check(job, sandbox=sandbox)
        if not run_check(verifier_check, sink, world=world):  # before the model, which may take minutes
            return
        policy, world = load_shared(job.model, settings=settings, world=world)
        experiment = Experiment(
            settings=settings,
            policy=policy,
            tasks=job.tasks,
            held_out=job.held_out,
            reward=sandboxed_reward(sandbox, job.grader),
            component_weights=component_weights(spec, job.grader),
            world=world,
        )
        preflight = preflight_step(experiment, job=job, progress=sink.progress)
        if not run_check(preflight, sink, world=world):
            return
        teacher = load_teacher(spec, settings=settings, student=policy)
        trackers = enabled_trackers(environment()) if world.is_leader else {}
        with tracked(sink, trackers, run=sink.tracked_as()) as observer:
            ending = loop.run(
                replace(experiment, teacher=teacher),
                observer=observer,
                resume=world.broadcast(
                    sink.begin(policy) if world.is_leader else None
                ),  # no reference is kept here: the checkpoint is large
            )
            observer.close(ending)
        if world.is_leader:
            sink.end(ending, policy=policy, teacher=teacher, sandbox=sandbox.identity())
