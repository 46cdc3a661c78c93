"""The results of a job, under `/v1/fine_tuning/jobs/{id}`: metrics, rows, evaluations, the adapter."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict
from sqlalchemy import ColumnElement, Float, Select, Subquery, and_, case, func, select, type_coerce

from backend.api.http.dependencies import Auth, Database, JobOfPath
from backend.api.http.downloads import download
from backend.api.http.paging import After, ListItem, Order, Page, keyset_page, numbers_in_id, page
from backend.db.base import Json, unix_s
from backend.db.blobs import Blob
from backend.db.jobs import Job
from backend.db.training import Evaluation, Rollout, Step
from backend.errors import AppError
from backend.jobs.lifecycle import JobState

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["jobs"])


class Solved(StrEnum):
    """How often a row's graded completions were right."""

    NEVER = "never"
    SOMETIMES = "sometimes"
    ALWAYS = "always"


class StepMetrics(ListItem):
    """The metrics of one step; `id` is its number."""

    step: int
    created_at: int
    values: dict[str, float | None]


class RowHistory(ListItem):
    """The results on a row: `graded` completions have a score, `solved` of them one above `success_above`.

    `solve_rate`: the solved share of the graded ones; `null` if none is graded."""

    row: int
    completions: int
    graded: int
    solved: int
    solve_rate: float | None
    mean_score: float | None
    best_score: float | None
    last_step: int


class RowsPage(Page[RowHistory]):
    """A page of rows; `never`, `sometimes`, `always`: number of rows solved that often, among those with a graded
    completion."""

    never: int
    sometimes: int
    always: int


class EvaluationObject(ListItem):
    """The mean score with its interval over `n` questions with `k` completions each, without the `unscored` ones of
    all `completions` (abstentions, errors, timeouts); `p_value` and `difference` are against the baseline, `seconds`
    the duration."""

    model_config = ConfigDict(extra="allow")

    step: int
    phase: str
    created_at: int
    mean: float
    low: float
    high: float
    n: int
    k: int
    completions: int
    unscored: int
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
    """List metrics by step; `after` is a step number, which need not exist yet."""
    return keyset_page(
        session,
        select(Step).where(Step.job_id == job.id),
        keys=(Step.step,),
        after=numbers_in_id(after, pattern=r"(\d+)"),
        limit=limit,
        order=order,
        to_item=step_object,
    )


@router.get("/rows")
def list_row_histories(
    job: JobOfPath,
    _: Auth,
    session: Database,
    solved: Annotated[
        Solved | None, Query(description="Only rows solved this often; excludes rows without a graded completion.")
    ] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> RowsPage:
    """List the rows trained on so far, by number; the counts cover all of them."""
    histories = _row_histories(job).subquery()
    cursor = numbers_in_id(after, pattern=r"row-(\d+)")
    statement = select(histories).order_by(histories.c.row).limit(limit + 1)
    if solved is not None:
        statement = statement.where(_solved_condition(solved, histories))
    if cursor is not None:
        statement = statement.where(histories.c.row > cursor[0])
    rows = [
        RowHistory(
            id=f"row-{row}",
            row=row,
            completions=completions,
            graded=graded,
            solved=solved_count,
            solve_rate=solved_count / graded if graded else None,
            mean_score=mean,
            best_score=best,
            last_step=last_step,
        )
        for row, completions, graded, solved_count, mean, best, last_step in session.execute(statement)
    ]
    columns = [func.count().filter(_solved_condition(each, histories)).label(each.value) for each in Solved]
    counts = session.execute(select(*columns).select_from(histories)).mappings().one()
    return RowsPage(**dict(page(rows[:limit], has_more=len(rows) > limit)), **counts)


def _row_histories(job: Job) -> Select[Any]:
    """Select per row: row, completions, graded, solved, mean score, best score, last step."""
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


def _solved_condition(solved: Solved, histories: Subquery) -> ColumnElement[bool]:
    if solved is Solved.NEVER:
        return and_(histories.c.graded > 0, histories.c.solved == 0)
    if solved is Solved.ALWAYS:
        return and_(histories.c.graded > 0, histories.c.solved == histories.c.graded)
    return and_(histories.c.solved > 0, histories.c.solved < histories.c.graded)


@router.get("/evaluations")
def list_evaluations(job: JobOfPath, _: Auth, session: Database) -> Page[EvaluationObject]:
    """List held-out evaluations in order: baseline, interim, trained."""
    evaluations = session.scalars(
        select(Evaluation).where(Evaluation.job_id == job.id).order_by(Evaluation.step, Evaluation.created_at)
    )
    return page([evaluation_object(evaluation) for evaluation in evaluations])


@router.get("/manifest")
def get_manifest(job: JobOfPath, _: Auth) -> dict[str, Any]:
    """Return the manifest: everything that produced the adapter. 404 until the job has succeeded."""
    if job.manifest is None:
        raise _not_ready(job.id, job.state)
    return job.manifest


@router.get(
    "/adapter",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, 304: {"description": "Not modified."}},
)
def get_adapter(job: JobOfPath, request: Request, _: Auth, session: Database) -> Response:
    """Download the trained adapter as a ZIP, with its SHA-256 as ETag. 404 until the job has succeeded."""
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


def step_object(step: Step) -> StepMetrics:
    return StepMetrics(id=str(step.step), step=step.step, created_at=unix_s(step.created_at) or 0, values=step.metrics)


def evaluation_object(evaluation: Evaluation) -> EvaluationObject:
    columns = {
        "id": f"{evaluation.step}-{evaluation.phase}",
        "step": evaluation.step,
        "phase": evaluation.phase,
        "created_at": unix_s(evaluation.created_at),
    }
    return EvaluationObject.model_validate({**_counted(evaluation.result), **evaluation.result, **columns})


def _counted(result: Json) -> dict[str, int]:
    """Count the completions and those without a score; results of earlier releases lack both figures."""
    scores = [score for question in result["per_question"] for score in question["scores"]]
    return {"completions": len(scores), "unscored": scores.count(None)}


def _not_ready(job_id: str, state: str) -> AppError:
    if state == JobState.SUCCEEDED:
        return AppError(f"The adapter of job '{job_id}' was deleted.", status=404, code="deleted")
    return AppError(
        f"Job '{job_id}' is {state}: its adapter is available once it has succeeded.", status=404, code="not_ready"
    )
