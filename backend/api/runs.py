"""What a run leaves behind, under `/v1/fine_tuning/jobs/{id}`: metrics, rollouts, rows, evaluations, the adapter."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Float, case, func, select, type_coerce
from sqlalchemy.orm import undefer

from backend.api.deps import Auth, Database, JobOfPath, ObjectId
from backend.api.downloads import download
from backend.api.graders import ScoreRecordObject
from backend.api.paging import After, ListItem, Order, Page, cut, numbers_of, page
from backend.db.base import unix_s
from backend.db.blobs import Blob
from backend.db.training import Evaluation, Rollout, Step
from backend.errors import AppError, not_found
from backend.jobs.lifecycle import JobState
from backend.verifiers.record import ScoreStatus

MAX_NUMBER = 10**12
ROLLOUT_ID = r"rollout-(\d+)-(\d+)"

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["runs"])

Number = Annotated[int | None, Query(ge=0, le=MAX_NUMBER)]
ScoreBound = Annotated[float | None, Query(allow_inf_nan=False)]


class StepMetrics(ListItem):
    """The figures of one step; `id` is its number."""

    step: int
    created_at: int
    values: dict[str, float | None]


class RolloutObject(ListItem):
    """One completion and what became of it; `tokens` can be had where `has_tokens`."""

    step: int
    row: int
    sample: int
    completion: str
    record: ScoreRecordObject
    advantage: float
    truncated: bool
    has_tokens: bool


class TokensObject(BaseModel):
    """Equally long lists, one entry a token; `logp_teacher` is None where no teacher was asked."""

    ids: list[int]
    text: list[str]
    logp_student: list[float]
    logp_teacher: list[float] | None
    weight: list[float]
    advantage: list[float]


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


class EvaluationObject(ListItem):
    """`n` questions, `k` answers each: mean score with its interval; `p_value` and `difference` against the base."""

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


@router.get("/rollouts")
def list_rollouts(
    job: JobOfPath,
    _: Auth,
    session: Database,
    step: Number = None,
    row: Number = None,
    status: ScoreStatus | None = None,
    min_score: ScoreBound = None,
    max_score: ScoreBound = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    order: Order = Order.ASC,
) -> Page[RolloutObject]:
    """Completions, by step. A bound on the score leaves out those without one."""
    statement = select(Rollout).where(Rollout.job_id == job.id)
    if step is not None:
        statement = statement.where(Rollout.step == step)
    if row is not None:
        statement = statement.where(Rollout.row == row)
    if status is not None:
        statement = statement.where(Rollout.record["status"].as_string() == status)
    score = Rollout.record["score"].as_float()
    if min_score is not None:
        statement = statement.where(score >= min_score)
    if max_score is not None:
        statement = statement.where(score <= max_score)
    return cut(
        session,
        statement,
        keys=(Rollout.step, Rollout.number),
        after=numbers_of(after, pattern=ROLLOUT_ID),
        limit=limit,
        order=order,
        show=_shown_rollout,
    )


@router.get("/rollouts/{rollout_id}/tokens")
def get_tokens(job: JobOfPath, rollout_id: ObjectId, _: Auth, session: Database) -> TokensObject:
    """Which tokens got the credit. 404 where they were not kept."""
    try:
        numbers = numbers_of(rollout_id, pattern=ROLLOUT_ID) or [0, 0]
    except AppError:
        raise not_found("rollout", rollout_id) from None
    rollout = session.get(Rollout, (job.id, *numbers), options=[undefer(Rollout.tokens)])
    if rollout is None:
        raise not_found("rollout", rollout_id)
    if rollout.tokens is None:
        raise AppError(
            f"The tokens of '{rollout_id}' were not kept: raise token_share to keep more.",
            status=404,
            code="tokens_not_kept",
        )
    return TokensObject.model_validate(rollout.tokens)


@router.get("/rows")
def list_row_histories(
    job: JobOfPath,
    _: Auth,
    session: Database,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page[RowHistory]:
    """The rows that have been trained on so far, by number."""
    score = type_coerce(Rollout.record["score"].as_float(), Float)
    place = numbers_of(after, pattern=r"row-(\d+)")
    statement = (
        select(
            Rollout.row,
            func.count(),
            func.count(score),
            func.count(case((score > job.spec["success_above"], 1))),
            func.avg(score),
            func.max(score),
            func.max(Rollout.step),
        )
        .where(Rollout.job_id == job.id)
        .group_by(Rollout.row)
        .order_by(Rollout.row)
        .limit(limit + 1)
    )
    if place is not None:
        statement = statement.where(Rollout.row > place[0])
    rows = [
        RowHistory(
            id=f"row-{row}",
            row=row,
            completions=completions,
            graded=graded,
            solved=solved,
            solve_rate=solved / graded if graded else None,
            mean_score=mean,
            best_score=best,
            last_step=last_step,
        )
        for row, completions, graded, solved, mean, best, last_step in session.execute(statement)
    ]
    return page(rows[:limit], has_more=len(rows) > limit)


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


def _shown_rollout(rollout: Rollout) -> RolloutObject:
    return RolloutObject(
        id=f"rollout-{rollout.step}-{rollout.number}",
        step=rollout.step,
        row=rollout.row,
        sample=rollout.sample,
        completion=rollout.completion,
        record=ScoreRecordObject.model_validate(rollout.record),
        advantage=rollout.advantage,
        truncated=rollout.truncated,
        has_tokens=rollout.has_tokens,
    )


def _not_ready(job_id: str, state: str) -> AppError:
    if state == JobState.SUCCEEDED:
        return AppError(f"The adapter of job '{job_id}' was deleted.", status=404, code="deleted")
    return AppError(
        f"Job '{job_id}' is {state}: its adapter is there once it has succeeded.", status=404, code="not_ready"
    )
