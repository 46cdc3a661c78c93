"""`/v1/fine_tuning/jobs/{id}/rollouts`: what the model wrote, searched, and the credit of its tokens.

Filters walk one job's completions in the order of their key. A step or a row is found by index; the others look at the
completions themselves, for as long as a search may and no longer.
"""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Float, Select, and_, exists, select, type_coerce
from sqlalchemy.orm import Session, aliased, undefer

from backend.api.http.dependencies import Auth, Database, JobOfPath, ObjectId
from backend.api.http.paging import After, ListItem, Order, Page, cut, numbers_of
from backend.api.http.search import Search, holds, time_bounded
from backend.api.verifiers.graders import ScoreRecordObject
from backend.db.jobs import Job
from backend.db.training import Rollout
from backend.errors import AppError, not_found
from backend.verifiers.record import ScoreStatus

MAX_NUMBER = 10**12
ROLLOUT_ID = r"rollout-(\d+)-(\d+)"

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["runs"])

Number = Annotated[int | None, Query(ge=0, le=MAX_NUMBER)]
ScoreBound = Annotated[float | None, Query(allow_inf_nan=False)]


class Outcome(StrEnum):
    RIGHT = "right"
    """The score is above the job's `success_above`."""
    WRONG = "wrong"
    """There is a score, and it is not above."""
    FAULT = "fault"
    """The verifier failed or was stopped."""
    ABSTAIN = "abstain"
    """The verifier does not judge it."""


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
    """Equally long lists, one entry a token.

    `logp_teacher` and `delta`, the log-ratio that the method weighs, are None where no teacher was asked;
    `logp_contrast` is None where the method has no second hint. Jobs of earlier releases have neither of the last two.
    """

    ids: list[int]
    text: list[str]
    logp_student: list[float]
    logp_teacher: list[float] | None
    logp_contrast: list[float] | None = None
    delta: list[float] | None = None
    weight: list[float]
    advantage: list[float]


@router.get("/rollouts")
def list_rollouts(
    job: JobOfPath,
    who: Auth,
    step: Number = None,
    row: Number = None,
    status: ScoreStatus | None = None,
    outcome: Annotated[
        list[Outcome] | None,
        Query(max_length=len(Outcome), description="Any of these; name the parameter once for each."),
    ] = None,
    min_score: ScoreBound = None,
    max_score: ScoreBound = None,
    mixed: Annotated[
        bool, Query(description="Only completions whose question was answered both right and wrong in that step.")
    ] = False,
    with_tokens: Annotated[bool, Query(description="Only completions whose tokens were kept.")] = False,
    search: Search = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    order: Order = Order.ASC,
) -> Page[RolloutObject]:
    """Completions, by step. A bound on the score leaves out those without one."""
    statement = select(Rollout).where(Rollout.job_id == job.id)
    for column, wanted in ((Rollout.step, step), (Rollout.row, row)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if status is not None:
        statement = statement.where(Rollout.record["status"].as_string() == status)
    if outcome:
        statement = _with_outcome(statement, outcome, job=job)
    score = Rollout.record["score"].as_float()
    if min_score is not None:
        statement = statement.where(score >= min_score)
    if max_score is not None:
        statement = statement.where(score <= max_score)
    if mixed:
        statement = statement.where(_in_mixed_group(job))
    if with_tokens:
        statement = statement.where(Rollout.has_tokens)
    if search is not None:
        statement = statement.where(holds(Rollout.completion, search))
    place = numbers_of(after, pattern=ROLLOUT_ID)
    keys = (Rollout.step, Rollout.number)
    with time_bounded(project=who.project, narrower="narrow it to a step or a row") as session:
        return cut(session, statement, keys=keys, after=place, limit=limit, order=order, show=_shown_rollout)


@router.get("/rollouts/{rollout_id}/tokens")
def get_tokens(job: JobOfPath, rollout_id: ObjectId, _: Auth, session: Database) -> TokensObject:
    """Which tokens got the credit. 404 where they were not kept."""
    rollout = _rollout(session, job, rollout_id, undefer(Rollout.tokens))
    if rollout.tokens is None:
        raise AppError(
            f"The tokens of '{rollout_id}' were not kept: raise token_share to keep more.",
            status=404,
            code="tokens_not_kept",
        )
    return TokensObject.model_validate(rollout.tokens)


@router.get("/rollouts/{rollout_id}")
def get_rollout(job: JobOfPath, rollout_id: ObjectId, _: Auth, session: Database) -> RolloutObject:
    """One completion."""
    return _shown_rollout(_rollout(session, job, rollout_id))


def _rollout(session: Session, job: Job, rollout_id: str, *options: Any) -> Rollout:
    """Raises AppError 404."""
    try:
        numbers = numbers_of(rollout_id, pattern=ROLLOUT_ID) or [0, 0]
    except AppError:
        raise not_found("rollout", rollout_id) from None
    rollout = session.get(Rollout, (job.id, *numbers), options=options)
    if rollout is None:
        raise not_found("rollout", rollout_id)
    return rollout


def _score(table: Any) -> ColumnElement[float]:
    return type_coerce(table.record["score"].as_float(), Float)


def _with_outcome(statement: Select[Any], wanted: list[Outcome], *, job: Job) -> Select[Any]:
    score, status, above = _score(Rollout), Rollout.record["status"].as_string(), job.spec["success_above"]
    conditions = {
        Outcome.RIGHT: score > above,
        Outcome.WRONG: score <= above,
        Outcome.FAULT: status.in_((ScoreStatus.ERROR, ScoreStatus.TIMEOUT)),
        Outcome.ABSTAIN: status == ScoreStatus.ABSTAIN,
    }
    first, *others = (conditions[outcome] for outcome in wanted)
    for other in others:
        first = first | other
    return statement.where(first)


def _in_mixed_group(job: Job) -> ColumnElement[bool]:
    """Whether others of the same question and step, found by index, were right and wrong."""

    def one(other: Any, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        same = and_(other.job_id == Rollout.job_id, other.step == Rollout.step, other.row == Rollout.row)
        return exists(select(1).where(same, condition))

    good, bad, above = aliased(Rollout), aliased(Rollout), job.spec["success_above"]
    return and_(one(good, _score(good) > above), one(bad, _score(bad) <= above))


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
