"""`/v1/fine_tuning/jobs/{id}/rollouts`: a job's completions, with filters and search, and their tokens' credit."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy.orm import Session

from backend.api.http.dependencies import Database, JobOfPath, ObjectId
from backend.api.http.paging import After, ListItem, Order, Page, PageQuery, numbers_in_id, page_of
from backend.api.http.rights import JobsRead
from backend.api.verifiers.graders import ScoreRecordObject
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.search import search_limit
from backend.db.training import Rollout
from backend.errors import AppError, not_found
from backend.jobs.rollouts import RolloutFilter, find_rollout, rollouts_of

ROLLOUT_ID = r"rollout-(\d+)-(\d+)"

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["jobs"])


class RolloutObject(ListItem):
    """A completion with its score and advantage; its tokens are available if `has_tokens`.

    `hint` is what its prompt contained besides the question if the completion is one of practice, else None.
    """

    step: int
    row: int
    sample: int
    completion: str
    record: ScoreRecordObject
    advantage: float
    truncated: bool
    hint: str | None
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
    caller: JobsRead,
    filters: Annotated[RolloutFilter, Query()],
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    order: Order = Order.ASC,
) -> Page[RolloutObject]:
    """List completions, by step. A bound on the score excludes completions without a score."""
    with transaction(project=caller.project) as session, search_limit(session, advice="limit it to a step or a row"):
        return page_of(
            session,
            rollouts_of(job, filters),
            PageQuery(after, limit, order),
            to_item=_rollout_object,
            position=partial(numbers_in_id, pattern=ROLLOUT_ID),
        )


@router.get("/rollouts/{rollout_id}/tokens")
def get_tokens(job: JobOfPath, rollout_id: ObjectId, _: JobsRead, session: Database) -> TokensObject:
    """Return the tokens of a completion and their credit. 404 if they were not stored."""
    rollout = _rollout(session, job, rollout_id, with_tokens=True)
    if rollout.tokens is None:
        raise AppError(
            f"The tokens of '{rollout_id}' were not stored: increase token_share to store more in future jobs.",
            status=404,
            code="tokens_not_kept",
        )
    return TokensObject.model_validate(rollout.tokens)


@router.get("/rollouts/{rollout_id}")
def get_rollout(job: JobOfPath, rollout_id: ObjectId, _: JobsRead, session: Database) -> RolloutObject:
    """Return one completion."""
    return _rollout_object(_rollout(session, job, rollout_id, with_tokens=False))


def _rollout(session: Session, job: Job, rollout_id: str, *, with_tokens: bool) -> Rollout:
    """Return the rollout with this id. Raises AppError 404."""
    try:
        step, number = numbers_in_id(rollout_id, pattern=ROLLOUT_ID)
    except AppError:
        raise not_found("rollout", rollout_id) from None
    rollout = find_rollout(session, job, step=step, number=number, with_tokens=with_tokens)
    if rollout is None:
        raise not_found("rollout", rollout_id)
    return rollout


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
        hint=rollout.hint,
        has_tokens=rollout.has_tokens,
    )
