"""`POST /v1/fine_tuning/jobs/estimate`: time, tokens, memory and price of a job before it is made."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.api.deps import Auth, Database
from backend.db.jobs import Job
from backend.db.training import Step
from backend.jobs.create import checked_job
from backend.jobs.estimate import Estimate, KnownStep, Range, cost_of, estimate
from backend.jobs.request import JobRequest
from backend.jobs.spec import RlsdSettings
from backend.settings import settings

RECENT_JOBS = 20
STEPS_EACH = 20
WARMING_STEPS = 1
"""A job's first steps, which load and compile."""

router = APIRouter(prefix="/fine_tuning/jobs", tags=["jobs"])


class RangeObject(BaseModel):
    """Eight in ten known steps lie between `low` and `high`."""

    low: float
    median: float
    high: float


class EstimateObject(BaseModel):
    """All is `null` where the server has not trained this model yet: the pre-flight or two steps would tell."""

    object: Literal["fine_tuning.estimate"] = "fine_tuning.estimate"
    max_steps: int
    jobs: int
    steps: int
    step_s: RangeObject | None = None
    total_s: RangeObject | None = None
    total_tokens: RangeObject | None = None
    peak_memory_bytes: float | None = None
    cost: RangeObject | None = None
    currency: str | None = None


@router.post("/estimate")
def estimate_job(body: JobRequest, _: Auth, session: Database) -> EstimateObject:
    """From the steps that jobs of the same model took on this server. The body is a job's, and is held to the same."""
    checked = checked_job(session, body, models=settings().models)
    known = _known_steps(session, body.model, device=checked.settings.device)
    found = estimate(checked.settings, known=known, held_out_rows=checked.held_out_rows)
    if found is None:
        return EstimateObject(max_steps=checked.settings.max_steps, jobs=0, steps=0)
    return _shown(found, checked.settings)


def _known_steps(session: Session, model: str, *, device: str) -> list[KnownStep]:
    jobs = session.scalars(
        select(Job)
        .where(Job.model == model, Job.step > WARMING_STEPS, Job.spec["device"].as_string() == device)
        .order_by(Job.created_at.desc())
        .limit(RECENT_JOBS)
    ).all()
    return [
        KnownStep(job_id=job.id, settings=RlsdSettings.model_validate(job.spec), metrics=metrics)
        for job in jobs
        for metrics in session.scalars(
            select(Step.metrics)
            .where(Step.job_id == job.id, Step.step > WARMING_STEPS)
            .order_by(Step.step.desc())
            .limit(STEPS_EACH)
        )
    ]


def _shown(found: Estimate, spec: RlsdSettings) -> EstimateObject:
    price = settings().gpu_hour_price
    cost = None if price is None else cost_of(found.total_s, devices=spec.devices, price_an_hour=price)
    return EstimateObject(
        max_steps=spec.max_steps,
        jobs=found.jobs,
        steps=found.steps,
        step_s=_range(found.step_s),
        total_s=_range(found.total_s),
        total_tokens=_range(found.total_tokens),
        peak_memory_bytes=found.peak_memory_bytes,
        cost=None if cost is None else _range(cost),
        currency=None if cost is None else settings().currency,
    )


def _range(found: Range) -> RangeObject:
    return RangeObject(low=found.low, median=found.median, high=found.high)
