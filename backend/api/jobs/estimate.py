"""`POST /v1/fine_tuning/jobs/estimate`: expected time, tokens, memory and cost of a job before it is created."""

from typing import Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from backend.api.http.dependencies import Database
from backend.api.http.operations import stores_nothing
from backend.api.http.rights import JobsWrite
from backend.base_models import base_models
from backend.core.hints import Hint
from backend.core.methods import METHODS, MethodName
from backend.jobs.create import CheckedJob, checked_job
from backend.jobs.estimate import Estimate, Range, cost_of, estimate
from backend.jobs.known_steps import KnownSteps, known_steps
from backend.jobs.request import JobRequest
from backend.settings import settings

router = APIRouter(prefix="/fine_tuning/jobs", tags=["jobs"])


class RangeObject(BaseModel):
    """The median, and the 10th and 90th percentiles (`low`, `high`) over known steps."""

    low: float
    median: float
    high: float


class EstimateObject(BaseModel):
    """An estimate from `steps` measured on a device of this name: the last 20 of each of `jobs` earlier jobs, without a
    job's first, or the two of the pre-flight with the id `preflight`. `same_file`: on the same training file; on other
    files completions may be shorter or longer, so that the ranges end where each has `max_completion_tokens`.

    Times and sizes are `null` if nothing was measured yet: run the pre-flight. `peak_memory_bytes` was measured on one
    device in steps of the same size or larger. `method` and `hint` are those that the job will be trained with;
    `notices` are its first events.
    """

    object: Literal["fine_tuning.estimate"] = "fine_tuning.estimate"
    method: MethodName
    hint: Hint | None
    notices: list[str]
    max_steps: int
    jobs: int
    steps: int
    same_file: bool = False
    preflight: str | None = None
    device_name: str | None = None
    step_s: RangeObject | None = None
    total_s: RangeObject | None = None
    total_tokens: RangeObject | None = None
    peak_memory_bytes: RangeObject | None = None
    cost: RangeObject | None = None
    currency: str | None = None


@router.post("/estimate", dependencies=[Depends(stores_nothing)])
def estimate_job(body: JobRequest, caller: JobsWrite, session: Database) -> EstimateObject:
    """Estimate time, tokens, memory and cost of a job. From the newest pre-flight of the same file and model, or from
    later steps of jobs on that file, with the same device type, number of devices, dtype, gradient checkpointing and
    generator; if there are none, from jobs of the model on other files. The body is that of a job and is validated in
    the same way.
    """
    checked = checked_job(session, body, project=caller.project, models=base_models())
    known = known_steps(session, checked.settings, model=body.model, training=checked.training)
    estimated = estimate(
        checked.settings,
        known=known.steps,
        held_out_rows=checked.held_out_rows,
        warm_steps=checked.warm_steps,
        same_answers=known.same_file or known.preflight is not None,
    )
    return _estimate_object(estimated, checked, known=known)


def _estimate_object(found: Estimate | None, checked: CheckedJob, *, known: KnownSteps) -> EstimateObject:
    spec = checked.settings
    shown = EstimateObject(
        method=spec.method,
        hint=spec.hint if METHODS[spec.method].teacher == "hinted" else None,
        notices=[notice.message for notice in checked.notices],
        max_steps=checked.warm_steps + spec.max_steps,
        jobs=0,
        steps=0,
    )
    if found is None:
        return shown
    price = settings().gpu_hour_price
    cost = None if price is None else cost_of(found.total_s, devices=spec.devices, price_per_hour=price)
    return shown.model_copy(
        update={
            "jobs": 0 if known.preflight else found.jobs,
            "steps": found.steps,
            "same_file": known.same_file,
            "preflight": known.preflight,
            "device_name": known.device_name,
            "step_s": _range(found.step_s),
            "total_s": _range(found.total_s),
            "total_tokens": _range(found.total_tokens),
            "peak_memory_bytes": None if found.peak_memory_bytes is None else _range(found.peak_memory_bytes),
            "cost": None if cost is None else _range(cost),
            "currency": None if cost is None else settings().currency,
        }
    )


def _range(found: Range) -> RangeObject:
    return RangeObject(low=found.low, median=found.median, high=found.high)
