"""Selection of the measured steps from which the duration of a new job is estimated.

Completion lengths depend on the rows, so the newest steps on the same file are preferred: those of a pre-flight, or of
jobs trained since; else those of jobs on other files. All are of the same model, on the same kind of device, with
equal `PACE_SETTINGS` settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, func, or_, select, true
from sqlalchemy.orm import Session

from backend import workers
from backend.core.checks import CheckKind
from backend.core.methods import IMITATING
from backend.core.settings.spec import RlsdSettings
from backend.db.checks import Check, CheckStatus
from backend.db.files import File
from backend.db.jobs import Job
from backend.db.training import Step
from backend.jobs.estimate import PACE_SETTINGS, KnownStep
from backend.queue import TRAIN_QUEUE

RECENT_JOBS = 20
STEPS_EACH = 20
WARMUP_STEPS = 1
"""First steps of a job, excluded because they include loading and compiling."""
CPU = "cpu"


@dataclass(frozen=True, slots=True)
class KnownSteps:
    """Steps of jobs on one kind of device, or of the pre-flight with this id; `same_file`: on the same rows."""

    steps: list[KnownStep]
    device_name: str | None
    same_file: bool = False
    preflight: str | None = None


@dataclass(frozen=True, slots=True)
class ComparableJob:
    """What a job or pre-flight must have in common with the new job."""

    project: str
    model: str
    pace: Mapping[str, Any]
    devices: set[str]
    """Names of the devices available for training; empty while no worker reports any."""


def known_steps(session: Session, settings: RlsdSettings, *, model: str, training: File) -> KnownSteps:
    """Return the steps to estimate from, all of one kind of device: the one that a comparable job used last."""
    pace = {name: value for name, value in settings.model_dump(mode="json").items() if name in PACE_SETTINGS}
    comparable = ComparableJob(training.project_id, model, pace, _device_names(session, settings))
    from_preflight, preflight_at = None, None
    if settings.devices == 1 and settings.generator == "transformers":  # as in a pre-flight
        from_preflight, preflight_at = _of_preflight(session, comparable, training_file=training.id)
    from_jobs = _of_jobs(session, comparable, training_file=training.id, since=preflight_at)
    return (
        from_jobs
        or from_preflight
        or _of_jobs(session, comparable, training_file=None, since=None)
        or KnownSteps([], None)
    )


def _of_jobs(
    session: Session, comparable: ComparableJob, *, training_file: str | None, since: datetime | None
) -> KnownSteps | None:
    """Return steps of jobs on this file, or on any; None if the newest job was created before `since`."""
    jobs = (
        select(Job)
        .where(
            Job.project_id == comparable.project,
            Job.model == comparable.model,
            Job.step > Job.warm_steps + WARMUP_STEPS,
            Job.spec["method"].as_string().not_in(sorted(IMITATING)),
            Job.spec.contains(comparable.pace),
            Job.device_name.is_not(None),
            true() if training_file is None else Job.training_file == training_file,
        )
        .order_by(Job.created_at.desc())
    )
    newest = session.scalar(jobs.where(_matches_device(Job.device_name, comparable.devices)).limit(1))
    if newest is None or (since is not None and newest.created_at < since):
        return None
    steps = [
        KnownStep(job_id=job.id, settings=RlsdSettings.model_validate(job.spec), metrics=metrics)
        for job in session.scalars(jobs.where(Job.device_name == newest.device_name).limit(RECENT_JOBS)).all()
        for metrics in session.scalars(
            select(Step.metrics)
            .where(Step.job_id == job.id, Step.step > job.warm_steps + WARMUP_STEPS)
            .order_by(Step.step.desc())
            .limit(STEPS_EACH)
        )
    ]
    return KnownSteps(steps, newest.device_name, same_file=training_file is not None)


def _of_preflight(
    session: Session, comparable: ComparableJob, *, training_file: str
) -> tuple[KnownSteps, datetime] | tuple[None, None]:
    """Return the steps of the newest pre-flight on the same file that took any, and when it was requested."""
    time = Check.result["time"]
    found = session.execute(
        select(Check.id, Check.created_at, Check.request["settings"], time)
        .where(
            Check.project_id == comparable.project,
            Check.kind == CheckKind.PREFLIGHT,
            Check.status == CheckStatus.DONE,
            Check.file_id == training_file,
            Check.request.contains({"model": comparable.model, "settings": comparable.pace}),
            func.jsonb_array_length(time["rehearsed"]) > 0,
            _matches_device(time["device_name"].as_string(), comparable.devices),
        )
        .order_by(Check.created_at.desc())
        .limit(1)
    ).first()
    if found is None:
        return None, None
    check_id, requested_at, spec, measured = found
    settings = RlsdSettings.model_validate(spec)
    steps = [KnownStep(job_id=check_id, settings=settings, metrics=metrics) for metrics in measured["rehearsed"]]
    return KnownSteps(steps, measured["device_name"], same_file=True, preflight=check_id), requested_at


def _device_names(session: Session, settings: RlsdSettings) -> set[str]:
    """Return the names of devices on which the job may run; empty while no worker reports any."""
    if settings.device == CPU:
        return {CPU}
    names: set[str] = set()
    for worker in workers.active_workers(session):
        if TRAIN_QUEUE in worker.queues:
            names |= {device["name"] for device in worker.devices} or {CPU}
    return names - {CPU} if settings.device == "cuda" else names


def _matches_device(name: SQLColumnExpression[Any], devices: set[str]) -> ColumnElement[bool]:
    """Match device names by prefix: the name of a GPU slice begins with that of the GPU."""
    return or_(*(name.startswith(each, autoescape=True) for each in devices)) if devices else true()
