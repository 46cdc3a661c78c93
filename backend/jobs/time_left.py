"""Remaining time of a running job: its steps at the current speed, and the remaining evaluations."""

from itertools import pairwise
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.settings.spec import RlsdSettings
from backend.db.jobs import Job
from backend.db.training import Evaluation, Step
from backend.jobs.estimate import TOKEN_METRICS, last_step, remaining_evaluations
from backend.jobs.lifecycle import JobState

PACE_STEPS = 20
"""Steps over which the speed is measured: the median of the times between them, so that pauses do not count."""


def seconds_left(session: Session, job: Job) -> float | None:
    """Return the remaining seconds; None if the job is not running or has taken fewer than two steps of its own.

    Steps of a warm start are shorter than the others, so they say nothing about those.
    """
    if job.state != JobState.RUNNING:
        return None
    own = select(Step.step, Step.created_at).where(Step.job_id == job.id, Step.step > job.warm_steps)
    newest = own.order_by(Step.step.desc())
    taken = session.execute(newest.limit(PACE_STEPS + 1)).tuples().all()
    if len(taken) < 2:
        return None
    evaluation_s = _evaluation_s(session, job)
    pace_s = median(
        (later - earlier).total_seconds() - evaluation_s.get(step, 0.0)
        for (_, later), (step, earlier) in pairwise(taken)
    )
    spec, step = RlsdSettings.model_validate(job.spec), taken[0][0]
    last = last_step(spec, warm_steps=job.warm_steps, used_per_step=_used_budget(session, job, spec) / step)
    evaluated_at, each_s = max(evaluation_s.items(), default=(0, 0.0))
    evaluations = remaining_evaluations(spec, evaluated_at=evaluated_at, last=last)
    return round(pace_s * (last - step) + each_s * evaluations, 1)


def _evaluation_s(session: Session, job: Job) -> dict[int, float]:
    """Return the duration of each evaluation by step; 0 if it was not recorded."""
    seconds = Evaluation.result["seconds"].as_float()
    found = session.execute(select(Evaluation.step, seconds).where(Evaluation.job_id == job.id))
    return {step: took or 0.0 for step, took in found}


def _used_budget(session: Session, job: Job, spec: RlsdSettings) -> float:
    """Return how much of its budget the job has used; 0 without a budget."""
    if spec.budget == 0:
        return 0.0
    if spec.budget_unit == "steps":
        return float(job.step)
    names, factor = (("step_s",), spec.devices) if spec.budget_unit == "seconds" else (TOKEN_METRICS, 1)
    sums = [func.coalesce(func.sum(Step.metrics[name].as_float()), 0.0) for name in names]
    return float(factor * sum(session.execute(select(*sums).where(Step.job_id == job.id)).one()))
