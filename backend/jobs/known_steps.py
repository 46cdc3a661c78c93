"""Which steps tell how long a new job will take: those of earlier jobs alike, else those that a pre-flight tried.

Alike: of the same model, on the same kind of device, with the same settings of pace (`PACE`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
class Known:
    """Steps of jobs on one kind of device, or of the pre-flight with this id."""

    steps: list[KnownStep]
    device_name: str | None
    preflight: str | None = None


def known_steps(session: Session, settings: RlsdSettings, *, model: str, training_file: str) -> Known:
    """Of the kind of device on which a job alike ran last, among those that are here to train on."""
    pace = {name: value for name, value in settings.model_dump(mode="json").items() if name in PACE}
    here = _device_names(session, settings)
    of_jobs = _of_jobs(session, model=model, pace=pace, here=here)
    if of_jobs is not None:
        return of_jobs
    if settings.devices == 1 and settings.generator == "transformers":  # as a pre-flight takes its steps
        return _of_preflight(session, model=model, training_file=training_file, pace=pace, here=here)
    return Known([], None)


def _of_jobs(session: Session, *, model: str, pace: Mapping[str, Any], here: set[str]) -> Known | None:
    alike = (
        select(Job)
        .where(Job.model == model, Job.step > WARMING_STEPS, Job.spec.contains(pace), Job.device_name.is_not(None))
        .order_by(Job.created_at.desc())
    )
    newest = session.scalar(alike.where(_among(Job.device_name, here)).limit(1))
    if newest is None:
        return None
    jobs = session.scalars(alike.where(Job.device_name == newest.device_name).limit(RECENT_JOBS)).all()
    steps = [
        KnownStep(job_id=job.id, settings=RlsdSettings.model_validate(job.spec), metrics=metrics)
        for job in jobs
        for metrics in session.scalars(
            select(Step.metrics)
            .where(Step.job_id == job.id, Step.step > WARMING_STEPS)
            .order_by(Step.step.desc())
            .limit(STEPS_EACH)
        )
    ]
    return Known(steps, newest.device_name)


def _of_preflight(
    session: Session, *, model: str, training_file: str, pace: Mapping[str, Any], here: set[str]
) -> Known:
    """The newest on the same file that took steps."""
    time = Check.result["time"]
    found = session.execute(
        select(Check.id, Check.request["settings"], time)
        .where(
            Check.kind == PREFLIGHT,
            Check.status == CheckStatus.DONE,
            Check.file_id == training_file,
            Check.request.contains({"model": model, "settings": pace}),
            func.jsonb_array_length(time["rehearsed"]) > 0,
            _among(time["device_name"].as_string(), here),
        )
        .order_by(Check.created_at.desc())
        .limit(1)
    ).first()
    if found is None:
        return Known([], None)
    check_id, spec, took = found
    settings = RlsdSettings.model_validate(spec)
    steps = [KnownStep(job_id=check_id, settings=settings, metrics=metrics) for metrics in took["rehearsed"]]
    return Known(steps, took["device_name"], preflight=check_id)


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
