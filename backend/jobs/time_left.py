"""How long a running job still takes: its steps at the present pace, and the evaluations to come."""

from itertools import pairwise
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.jobs import Job
from backend.db.training import Evaluation, Step
from backend.jobs.estimate import TOKENS, evaluations_to_come, last_step
from backend.jobs.lifecycle import JobState
from backend.jobs.spec import RlsdSettings

PACE_STEPS = 20
"""Steps over which the pace is measured: the median of the times between them, so that a pause does not count."""


def seconds_left(session: Session, job: Job) -> float | None:
    """None where the job does not run, or has taken fewer than two steps."""
    if job.state != JobState.RUNNING:
        return None
    newest = select(Step.step, Step.created_at).where(Step.job_id == job.id).order_by(Step.step.desc())
    taken = session.execute(newest.limit(PACE_STEPS + 1)).tuples().all()
    if len(taken) < 2:
        return None
    evaluation_s = _evaluation_s(session, job)
    pace_s = median(
        (later - earlier).total_seconds() - evaluation_s.get(step, 0.0)
        for (_, later), (step, earlier) in pairwise(taken)
    )
    spec, step = RlsdSettings.model_validate(job.spec), taken[0][0]
    last = last_step(spec, used_a_step=_used(session, job, spec) / step)
    measured, each_s = max(evaluation_s.items(), default=(0, 0.0))
    evaluations = evaluations_to_come(spec, measured=measured, last=last)
    return round(pace_s * (last - step) + each_s * evaluations, 1)


def _evaluation_s(session: Session, job: Job) -> dict[int, float]:
    """What each evaluation took, by the step after which it was made; 0 where that was not noted."""
    seconds = Evaluation.result["seconds"].as_float()
    found = session.execute(select(Evaluation.step, seconds).where(Evaluation.job_id == job.id))
    return {step: took or 0.0 for step, took in found}


def _used(session: Session, job: Job, spec: RlsdSettings) -> float:
    """Of the job's budget, by all its steps; 0 where it has none."""
    if spec.budget == 0:
        return 0.0
    if spec.budget_unit == "steps":
        return float(job.step)
    names, times = (("step_s",), spec.devices) if spec.budget_unit == "seconds" else (TOKENS, 1)
    each = [func.coalesce(func.sum(Step.metrics[name].as_float()), 0.0) for name in names]
    return float(times * sum(session.execute(select(*each).where(Step.job_id == job.id)).one()))
