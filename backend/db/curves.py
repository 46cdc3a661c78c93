"""Training metrics by step, aggregated over runs: mean, minimum and maximum."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, func, select, type_coerce
from sqlalchemy.orm import InstrumentedAttribute, Session

from backend.db.comparisons import ComparedJob, Comparison
from backend.db.jobs import Job
from backend.db.training import Step


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Aggregate over the runs that have the metric at this step."""

    step: int
    mean: float
    low: float
    high: float
    runs: int


def curves_of_arms(session: Session, comparison: Comparison, *, metric: str) -> dict[str, list[CurvePoint]]:
    """Return the curve of each arm, aggregated over its seeds."""
    statement = _points(ComparedJob.arm, metric).join(ComparedJob, ComparedJob.job_id == Step.job_id)
    return _by_name(session, statement.where(ComparedJob.comparison_id == comparison.id))


def curves_of_jobs(session: Session, jobs: Collection[Job], *, metric: str) -> dict[str, list[CurvePoint]]:
    """Return the curve of each job."""
    return _by_name(session, _points(Step.job_id, metric).where(Step.job_id.in_([job.id for job in jobs])))


def _points(name: InstrumentedAttribute[str], metric: str) -> Select[Any]:
    value: ColumnElement[float] = type_coerce(Step.metrics[metric].as_float(), Float)
    return (
        select(name, Step.step, func.avg(value), func.min(value), func.max(value), func.count(value))
        .where(value.is_not(None))
        .group_by(name, Step.step)
        .order_by(Step.step)
    )


def _by_name(session: Session, statement: Select[Any]) -> dict[str, list[CurvePoint]]:
    found: dict[str, list[CurvePoint]] = {}
    for name, step, mean, low, high, runs in session.execute(statement):
        found.setdefault(name, []).append(CurvePoint(step, mean, low, high, runs))
    return found
