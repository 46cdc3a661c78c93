"""What a run leaves behind, under `/v1/fine_tuning/jobs/{id}`: metrics, rows, evaluations, the adapter."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict
from sqlalchemy import ColumnElement, Float, Select, Subquery, and_, case, func, select, type_coerce

from backend.api.http.dependencies import Auth, Database, JobOfPath
from backend.api.http.downloads import download
from backend.api.http.paging import After, ListItem, Order, Page, cut, numbers_of, page
from backend.db.base import unix_s
from backend.db.blobs import Blob
from backend.db.jobs import Job
from backend.db.training import Evaluation, Rollout, Step
from backend.errors import AppError
from backend.jobs.lifecycle import JobState

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["runs"])


class Solved(StrEnum):
    """How often a row's graded completions were right."""

    NEVER = "never"
    SOMETIMES = "sometimes"
    ALWAYS = "always"


class StepMetrics(ListItem):
    """The figures of one step; `id` is its number."""

    step: int
    created_at: int
    values: dict[str, float | None]


class RowHistory(ListItem):
    """How a row has fared: `graded` completions have a score, `solved` of them one above `success_above`.

    `solve_rate`: the solved share of the graded ones; `null` where none is graded."""

    row: int
    completions: int
    graded: int
    solved: int
    solve_rate: float | None
    mean_score: float | None
    best_score: float | None
    last_step: int


class RowsPage(Page[RowHistory]):
    """`never`, `sometimes`, `always`: how many rows were solved that often, of those with a graded completion."""

    never: int
    sometimes: int
    always: int


class EvaluationObject(ListItem):
    """`n` questions, `k` answers each: mean score with its interval; `p_value` and `difference` against the base.
    `seconds` is what it took."""

    model_config = ConfigDict(extra="allow")

    step: int
    phase: str
    created_at: int
    mean: float
    low: float
    high: float
    n: int
    k: int
    p_value: float | None = None
    difference: dict[str, float] | None = None
    seconds: float | None = None


@router.get("/metrics")
def list_metrics(
    job: JobOfPath,
    _: Auth,
    session: Database,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    order: Order = Order.ASC,
) -> Page[StepMetrics]:
    """One item a step; `after` is a step's number, of a step that may still be to come."""
    return cut(
        session,
        select(Step).where(Step.job_id == job.id),
        keys=(Step.step,),
        after=numbers_of(after, pattern=r"(\d+)"),
        limit=limit,
        order=order,
        show=shown_step,
    )


@router.get("/rows")
def list_row_histories(
    job: JobOfPath,
    _: Auth,
    session: Database,
    solved: Annotated[
        Solved | None, Query(description="Only these rows; those without a graded completion: none.")
    ] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> RowsPage:
    """The rows that have been trained on so far, by number; the counts are of all of them."""
    fared = _fared(job).subquery()
    place = numbers_of(after, pattern=r"row-(\d+)")
    statement = select(fared).order_by(fared.c.row).limit(limit + 1)
    if solved is not None:
        statement = statement.where(_is(solved, fared))
    if place is not None:
        statement = statement.where(fared.c.row > place[0])
    rows = [
        RowHistory(
            id=f"row-{row}",
            row=row,
            completions=completions,
            graded=graded,
            solved=right,
            solve_rate=right / graded if graded else None,
            mean_score=mean,
            best_score=best,
            last_step=last_step,
        )
        for row, completions, graded, right, mean, best, last_step in session.execute(statement)
    ]
    counted = [func.count().filter(_is(each, fared)).label(each.value) for each in Solved]
    counts = session.execute(select(*counted).select_from(fared)).mappings().one()
    return RowsPage(**dict(page(rows[:limit], has_more=len(rows) > limit)), **counts)


def _fared(job: Job) -> Select[Any]:
    """A line a row: row, completions, graded, solved, mean score, best score, last step."""
    score = type_coerce(Rollout.record["score"].as_float(), Float)
    return (
        select(
            Rollout.row,
            func.count().label("completions"),
            func.count(score).label("graded"),
            func.count(case((score > job.spec["success_above"], 1))).label("solved"),
            func.avg(score).label("mean_score"),
            func.max(score).label("best_score"),
            func.max(Rollout.step).label("last_step"),
        )
        .where(Rollout.job_id == job.id)
        .group_by(Rollout.row)
    )


def _is(solved: Solved, fared: Subquery) -> ColumnElement[bool]:
    if solved is Solved.NEVER:
        return and_(fared.c.graded > 0, fared.c.solved == 0)
    if solved is Solved.ALWAYS:
        return and_(fared.c.graded > 0, fared.c.solved == fared.c.graded)
    return and_(fared.c.solved > 0, fared.c.solved < fared.c.graded)


@router.get("/evaluations")
def list_evaluations(job: JobOfPath, _: Auth, session: Database) -> Page[EvaluationObject]:
    """Held-out evaluations in order: baseline, interim ones, trained."""
    found = session.scalars(
        select(Evaluation).where(Evaluation.job_id == job.id).order_by(Evaluation.step, Evaluation.created_at)
    )
    return page([shown_evaluation(evaluation) for evaluation in found])


@router.get("/manifest")
def get_manifest(job: JobOfPath, _: Auth) -> dict[str, Any]:
    """What the adapter was made of. 404 until the job has succeeded."""
    if job.manifest is None:
        raise _not_ready(job.id, job.state)
    return job.manifest


@router.get(
    "/adapter",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, 304: {"description": "The caller has it."}},
)
def get_adapter(job: JobOfPath, request: Request, _: Auth, session: Database) -> Response:
    """The trained adapter as a ZIP, its SHA-256 as ETag. 404 until the job has succeeded."""
    if job.adapter_sha256 is None:
        raise _not_ready(job.id, job.state)
    blob = session.get_one(Blob, job.adapter_sha256)
    return download(
        request,
        sha256=blob.sha256,
        size_bytes=blob.size_bytes,
        filename=f"{job.suffix or job.id}.zip",
        media_type="application/zip",
    )


def shown_step(step: Step) -> StepMetrics:
    return StepMetrics(id=str(step.step), step=step.step, created_at=unix_s(step.created_at) or 0, values=step.metrics)


def shown_evaluation(evaluation: Evaluation) -> EvaluationObject:
    place = {
        "id": f"{evaluation.step}-{evaluation.phase}",
        "step": evaluation.step,
        "phase": evaluation.phase,
        "created_at": unix_s(evaluation.created_at),
    }
    return EvaluationObject.model_validate({**evaluation.result, **place})


def _not_ready(job_id: str, state: str) -> AppError:
    if state == JobState.SUCCEEDED:
        return AppError(f"The adapter of job '{job_id}' was deleted.", status=404, code="deleted")
    return AppError(
        f"Job '{job_id}' is {state}: its adapter is there once it has succeeded.", status=404, code="not_ready"
    )
