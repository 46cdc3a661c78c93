"""`/v1/fine_tuning/jobs/{id}/rollouts`: a job's completions, with filters and search, and the credit of their tokens.

Filters scan one job's completions in key order. Steps and rows are found by index; other filters read the completions
themselves, within the time limit of a search.
"""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Float, Select, and_, exists, or_, select, type_coerce
from sqlalchemy.orm import Session, aliased, undefer

from backend.api.http.dependencies import Auth, Database, JobOfPath, ObjectId
from backend.api.http.paging import After, ListItem, Order, Page, keyset_page, numbers_in_id
from backend.api.http.search import Search, contains, search_session
from backend.api.verifiers.graders import ScoreRecordObject
from backend.db.jobs import Job
from backend.db.training import Rollout
from backend.errors import AppError, not_found
from backend.verifiers.record import ScoreStatus

MAX_NUMBER = 10**12
ROLLOUT_ID = r"rollout-(\d+)-(\d+)"

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["jobs"])

Number = Annotated[int | None, Query(ge=0, le=MAX_NUMBER)]
ScoreBound = Annotated[float | None, Query(allow_inf_nan=False)]


class Outcome(StrEnum):
    RIGHT = "right"
    """The score is above the job's `success_above`."""
    WRONG = "wrong"
    """The score is not above `success_above`."""
    FAULT = "fault"
    """The verifier failed or was stopped."""
    ABSTAIN = "abstain"
    """The verifier returned no score on purpose."""


class RolloutObject(ListItem):
    """A completion with its score and advantage; its tokens are available if `has_tokens`."""

    step: int
    row: int
    sample: int
    completion: str
    record: ScoreRecordObject
    advantage: float
    truncated: bool
    has_tokens: bool


class TokensObject(BaseModel):
    """Lists of equal length, with one entry per token.

    `logp_teacher` and `delta`, the log-ratio that the method weights by, are None if there was no teacher;
    `logp_contrast` is None if the method has no second hint. Jobs of earlier releases lack the last two.
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
        Query(max_length=len(Outcome), description="Any of these; repeat the parameter for several."),
    ] = None,
    min_score: ScoreBound = None,
    max_score: ScoreBound = None,
    mixed: Annotated[
        bool, Query(description="Only completions of questions answered both right and wrong in the same step.")
    ] = False,
    with_tokens: Annotated[bool, Query(description="Only completions whose tokens are stored.")] = False,
    search: Search = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    order: Order = Order.ASC,
) -> Page[RolloutObject]:
    """List completions, by step. A bound on the score excludes completions without a score."""
    statement = select(Rollout).where(Rollout.job_id == job.id)
    for column, value in ((Rollout.step, step), (Rollout.row, row)):
        if value is not None:
            statement = statement.where(column == value)
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
        statement = statement.where(contains(Rollout.completion, search))
    cursor = numbers_in_id(after, pattern=ROLLOUT_ID)
    keys = (Rollout.step, Rollout.number)
    with search_session(project=who.project, advice="limit it to a step or a row") as session:
        return keyset_page(
            session, statement, keys=keys, after=cursor, limit=limit, order=order, to_item=_rollout_object
        )


@router.get("/rollouts/{rollout_id}/tokens")
def get_tokens(job: JobOfPath, rollout_id: ObjectId, _: Auth, session: Database) -> TokensObject:
    """Return the tokens of a completion and their credit. 404 if they were not stored."""
    rollout = _rollout(session, job, rollout_id, undefer(Rollout.tokens))
    if rollout.tokens is None:
        raise AppError(
            f"The tokens of '{rollout_id}' were not stored: increase token_share to store more in future jobs.",
            status=404,
            code="tokens_not_kept",
        )
    return TokensObject.model_validate(rollout.tokens)


@router.get("/rollouts/{rollout_id}")
def get_rollout(job: JobOfPath, rollout_id: ObjectId, _: Auth, session: Database) -> RolloutObject:
    """Return one completion."""
    return _rollout_object(_rollout(session, job, rollout_id))


def _rollout(session: Session, job: Job, rollout_id: str, *options: Any) -> Rollout:
    """Return the rollout with this id. Raises AppError 404."""
    try:
        numbers = numbers_in_id(rollout_id, pattern=ROLLOUT_ID) or [0, 0]
    except AppError:
        raise not_found("rollout", rollout_id) from None
    rollout = session.get(Rollout, (job.id, *numbers), options=options)
    if rollout is None:
        raise not_found("rollout", rollout_id)
    return rollout


def _score(table: Any) -> ColumnElement[float]:
    return type_coerce(table.record["score"].as_float(), Float)


def _with_outcome(statement: Select[Any], outcomes: list[Outcome], *, job: Job) -> Select[Any]:
    score, status, above = _score(Rollout), Rollout.record["status"].as_string(), job.spec["success_above"]
    conditions = {
        Outcome.RIGHT: score > above,
        Outcome.WRONG: score <= above,
        Outcome.FAULT: status.in_((ScoreStatus.ERROR, ScoreStatus.TIMEOUT)),
        Outcome.ABSTAIN: status == ScoreStatus.ABSTAIN,
    }
    return statement.where(or_(*(conditions[outcome] for outcome in outcomes)))


def _in_mixed_group(job: Job) -> ColumnElement[bool]:
    """Build the condition that the question was answered both right and wrong in the same step."""

    def any_rollout(other: Any, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        same = and_(other.job_id == Rollout.job_id, other.step == Rollout.step, other.row == Rollout.row)
        return exists(select(1).where(same, condition))

    good, bad, above = aliased(Rollout), aliased(Rollout), job.spec["success_above"]
    return and_(any_rollout(good, _score(good) > above), any_rollout(bad, _score(bad) <= above))


def _rollout_object(rollout: Rollout) -> RolloutObject:
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
