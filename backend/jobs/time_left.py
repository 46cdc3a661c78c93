"""Remaining time of a running job: its steps at the current speed, and the remaining evaluations."""

from itertools import pairwise
from statistics import median

from sqlalchemy.orm import Session

from backend.core.settings.spec import RlsdSettings
from backend.db.jobs import Job
from backend.db.training import newest_steps, seconds_of_evaluations, sum_of_metrics
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
    taken = newest_steps(session, job, after=job.warm_steps, limit=PACE_STEPS + 1)
    if len(taken) < 2:
        return None
    evaluation_s = seconds_of_evaluations(session, job)
    pace_s = median(
        (later - earlier).total_seconds() - evaluation_s.get(step, 0.0)
        for (_, later), (step, earlier) in pairwise(taken)
    )
    spec, step = RlsdSettings.model_validate(job.spec), taken[0][0]
    last = last_step(spec, warm_steps=job.warm_steps, used_per_step=_used_budget(session, job, spec) / step)
    evaluated_at, each_s = max(evaluation_s.items(), default=(0, 0.0))
    evaluations = remaining_evaluations(spec, evaluated_at=evaluated_at, last=last)
    return round(pace_s * (last - step) + each_s * evaluations, 1)


def _used_budget(session: Session, job: Job, spec: RlsdSettings) -> float:
    """Return how much of its budget the job has used; 0 without a budget."""
    if spec.budget == 0:
        return 0.0
    if spec.budget_unit == "steps":
        return float(job.step)
    if spec.budget_unit == "seconds":
        return spec.devices * sum_of_metrics(session, job, ["step_s"])
    return sum_of_metrics(session, job, TOKEN_METRICS)
