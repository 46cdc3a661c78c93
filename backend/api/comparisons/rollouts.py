"""Training curves and results of several runs: the arms of a comparison, or any jobs side by side."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy.orm import Session

from backend.api.comparisons.routes import Analyses, ComparisonResult, result_object
from backend.api.http.authentication import Caller
from backend.api.http.dependencies import Database, ObjectId, get_or_404
from backend.api.http.rights import ComparisonsRead
from backend.comparisons.jobs import compare_jobs
from backend.db.comparisons import Comparison
from backend.db.curves import CurvePoint, curves_of_arms, curves_of_jobs
from backend.db.jobs import Job
from backend.errors import AppError

MAX_JOBS = 12

router = APIRouter(tags=["comparisons"])

Metric = Annotated[str, Query(pattern=r"^[a-z_0-9]{1,80}$", description="Name of a value in a job's `metrics`.")]
JobIds = Annotated[
    list[str],
    Query(alias="job", min_length=1, max_length=MAX_JOBS, description="Ids of jobs; the first is the reference."),
]


class CurvePointObject(BaseModel):
    """Mean, minimum and maximum over the `runs` that have the metric at this step."""

    step: int
    mean: float
    low: float
    high: float
    runs: int


class CurveObject(BaseModel):
    """The curve of an arm or a job."""

    name: str
    points: list[CurvePointObject]


class Curves(BaseModel):
    object: Literal["comparison.curves"] = "comparison.curves"
    metric: str
    data: list[CurveObject]


@router.get("/comparisons/{comparison_id}/curves")
def get_curves(
    comparison_id: ObjectId, caller: ComparisonsRead, session: Database, metric: Metric = "reward_mean"
) -> Curves:
    """Return a training metric by step for every arm that has steps, in the order of the plan."""
    comparison = get_or_404(session, Comparison, comparison_id, project=caller.project)
    arms = [arm["name"] for arm in comparison.plan["arms"]]
    return _curves(metric, names=arms, curves=curves_of_arms(session, comparison, metric=metric))


@router.get("/compared-jobs/result")
def get_result_of_jobs(job: JobIds, caller: ComparisonsRead, session: Database, cache: Analyses) -> ComparisonResult:
    """Compare jobs that were created separately, each as its own arm at its last evaluation.

    If they were evaluated on different data or by different verifiers, the verdict says why there is no result.
    """
    return result_object(compare_jobs(session, _jobs(session, job, caller), cache=cache))


@router.get("/compared-jobs/curves")
def get_curves_of_jobs(
    job: JobIds, caller: ComparisonsRead, session: Database, metric: Metric = "reward_mean"
) -> Curves:
    """Return a training metric by step for each job that has steps."""
    jobs = _jobs(session, job, caller)
    return _curves(metric, names=[each.id for each in jobs], curves=curves_of_jobs(session, jobs, metric=metric))


def _jobs(session: Session, ids: list[str], caller: Caller) -> list[Job]:
    """Return the jobs. Raises AppError 404 for an unknown one, 400 for duplicates."""
    if len(set(ids)) < len(ids):
        raise AppError("The same job is listed twice: list each job once.", code="invalid_value", param="job")
    return [get_or_404(session, Job, each, project=caller.project) for each in ids]


def _curves(metric: str, *, names: list[str], curves: dict[str, list[CurvePoint]]) -> Curves:
    data = [
        CurveObject(name=name, points=[CurvePointObject.model_validate(p, from_attributes=True) for p in curves[name]])
        for name in names
        if name in curves
    ]
    return Curves(metric=metric, data=data)
