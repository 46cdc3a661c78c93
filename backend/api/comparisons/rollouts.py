"""What training has shown for several runs at once: by the arms of a comparison, or for any jobs side by side."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy.orm import Session

from backend.api.comparisons.routes import ComparisonResult, shown_result
from backend.api.http.dependencies import Auth, Database, ObjectId, found
from backend.comparisons.curves import CurvePoint, curves_of_arms, curves_of_jobs
from backend.comparisons.jobs import compare_jobs
from backend.db.comparisons import Comparison
from backend.db.jobs import Job
from backend.errors import AppError

MOST_JOBS = 12

router = APIRouter(tags=["comparisons"])

Metric = Annotated[
    str, Query(pattern=r"^[a-z_0-9]{1,80}$", description="A name among the values of a job's `metrics`.")
]
JobIds = Annotated[
    list[str],
    Query(alias="job", min_length=1, max_length=MOST_JOBS, description="Ids of jobs; the others go by the first."),
]


class CurvePointObject(BaseModel):
    """Mean, lowest and highest over the `runs` that have the metric at this step."""

    step: int
    mean: float
    low: float
    high: float
    runs: int


class CurveObject(BaseModel):
    """Of the arm, or of the job, with this name."""

    name: str
    points: list[CurvePointObject]


class Curves(BaseModel):
    object: Literal["comparison.curves"] = "comparison.curves"
    metric: str
    data: list[CurveObject]


@router.get("/comparisons/{comparison_id}/curves")
def get_curves(comparison_id: ObjectId, _: Auth, session: Database, metric: Metric = "reward_mean") -> Curves:
    """A metric of training by step for every arm that has taken steps, in the order of the plan."""
    comparison = found(session, Comparison, comparison_id, kind="comparison")
    arms = [arm["name"] for arm in comparison.plan["arms"]]
    return _shown(metric, names=arms, curves=curves_of_arms(session, comparison_id, metric=metric))


@router.get("/compared-jobs/result")
def get_result_of_jobs(job: JobIds, _: Auth, session: Database) -> ComparisonResult:
    """The result of a comparison for jobs that were made apart, each an arm of its own at its end.

    The verdict says why there is none where they were measured on different data or by different verifiers.
    """
    return shown_result(compare_jobs(session, _jobs(session, job)))


@router.get("/compared-jobs/curves")
def get_curves_of_jobs(job: JobIds, _: Auth, session: Database, metric: Metric = "reward_mean") -> Curves:
    """A metric of training by step for each job that has taken steps."""
    ids = [each.id for each in _jobs(session, job)]
    return _shown(metric, names=ids, curves=curves_of_jobs(session, ids, metric=metric))


def _jobs(session: Session, ids: list[str]) -> list[Job]:
    """Raises AppError 404 for one that is not there, 400 for one named twice."""
    if len(set(ids)) < len(ids):
        raise AppError("A job is named twice: name each once.", code="invalid_value", param="job")
    return [found(session, Job, each, kind="fine-tuning job") for each in ids]


def _shown(metric: str, *, names: list[str], curves: dict[str, list[CurvePoint]]) -> Curves:
    data = [
        CurveObject(name=name, points=[CurvePointObject.model_validate(p, from_attributes=True) for p in curves[name]])
        for name in names
        if name in curves
    ]
    return Curves(metric=metric, data=data)
