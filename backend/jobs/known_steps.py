"""Which steps tell how long a new job will take: the newest known of its rows, for how much is written depends on them.

Those are a pre-flight's, or those of jobs trained since on the same file; where its rows were never asked, those of
jobs on other files. All are alike: of the same model, on the same kind of device, with the same settings of pace
(`PACE`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, func, or_, select, true
from sqlalchemy.orm import Session

from backend import workers
from backend.db.checks import Check, CheckStatus
from backend.db.jobs import Job
from backend.db.training import Step
from backend.jobs.estimate import PACE, KnownStep
from backend.jobs.preflight import PREFLIGHT
from backend.jobs.spec import RlsdSettings
from backend.queue import TRAIN_QUEUE

RECENT_JOBS = 20
STEPS_EACH = 20
WARMING_STEPS = 1
"""A job's first steps, which load and compile."""
CPU = "cpu"


@dataclass(frozen=True, slots=True)
class KnownSteps:
    """Steps of jobs on one kind of device, or of the pre-flight with this id; `same_file`: on the new job's rows."""

    steps: list[KnownStep]
    device_name: str | None
    same_file: bool = False
    preflight: str | None = None


@dataclass(frozen=True, slots=True)
class ComparableJob:
    """What a job or a pre-flight must be to say something of a new job."""

    model: str
    pace: Mapping[str, Any]
    devices: set[str]
    """Kinds that are here to train on; empty while no worker is there to say."""


def known_steps(session: Session, settings: RlsdSettings, *, model: str, training_file: str) -> KnownSteps:
    """Of the kind of device on which a job alike ran last, among those that are here to train on."""
    pace = {name: value for name, value in settings.model_dump(mode="json").items() if name in PACE}
    alike = ComparableJob(model, pace, _device_names(session, settings))
    flown, at = None, None
    if settings.devices == 1 and settings.generator == "transformers":  # as a pre-flight takes its steps
        flown, at = _of_preflight(session, alike, training_file=training_file)
    own = _of_jobs(session, alike, training_file=training_file, since=at)
    return own or flown or _of_jobs(session, alike, training_file=None, since=None) or KnownSteps([], None)


def _of_jobs(
    session: Session, alike: ComparableJob, *, training_file: str | None, since: datetime | None
) -> KnownSteps | None:
    """Of jobs on this file, or on any; None where the newest of them is not made `since` then."""
    jobs = (
        select(Job)
        .where(
            Job.model == alike.model,
            Job.step > WARMING_STEPS,
            Job.spec.contains(alike.pace),
            Job.device_name.is_not(None),
            true() if training_file is None else Job.training_file == training_file,
        )
        .order_by(Job.created_at.desc())
    )
    newest = session.scalar(jobs.where(_among(Job.device_name, alike.devices)).limit(1))
    if newest is None or (since is not None and newest.created_at < since):
        return None
    steps = [
        KnownStep(job_id=job.id, settings=RlsdSettings.model_validate(job.spec), metrics=metrics)
        for job in session.scalars(jobs.where(Job.device_name == newest.device_name).limit(RECENT_JOBS)).all()
        for metrics in session.scalars(
            select(Step.metrics)
            .where(Step.job_id == job.id, Step.step > WARMING_STEPS)
            .order_by(Step.step.desc())
            .limit(STEPS_EACH)
        )
    ]
    return KnownSteps(steps, newest.device_name, same_file=training_file is not None)


def _of_preflight(
    session: Session, alike: ComparableJob, *, training_file: str
) -> tuple[KnownSteps, datetime] | tuple[None, None]:
    """The newest on the same file that took steps, and when it was asked for."""
    time = Check.result["time"]
    found = session.execute(
        select(Check.id, Check.created_at, Check.request["settings"], time)
        .where(
            Check.kind == PREFLIGHT,
            Check.status == CheckStatus.DONE,
            Check.file_id == training_file,
            Check.request.contains({"model": alike.model, "settings": alike.pace}),
            func.jsonb_array_length(time["rehearsed"]) > 0,
            _among(time["device_name"].as_string(), alike.devices),
        )
        .order_by(Check.created_at.desc())
        .limit(1)
    ).first()
    if found is None:
        return None, None
    check_id, asked_at, spec, took = found
    settings = RlsdSettings.model_validate(spec)
    steps = [KnownStep(job_id=check_id, settings=settings, metrics=metrics) for metrics in took["rehearsed"]]
    return KnownSteps(steps, took["device_name"], same_file=True, preflight=check_id), asked_at


def _device_names(session: Session, settings: RlsdSettings) -> set[str]:
    """On what the job may come to run; empty while no worker is there to say."""
    if settings.device == CPU:
        return {CPU}
    names: set[str] = set()
    for worker in workers.seen_now(session):
        if TRAIN_QUEUE in worker.queues:
            names |= {device["name"] for device in worker.devices} or {CPU}
    return names - {CPU} if settings.device == "cuda" else names


def _among(name: SQLColumnExpression[Any], here: set[str]) -> ColumnElement[bool]:
    """A slice of a GPU bears the GPU's name and more."""
    return or_(*(name.startswith(each, autoescape=True) for each in here)) if here else true()
