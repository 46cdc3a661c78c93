"""Queries of a job's rollouts: filtered, and summed up by row.

Filters scan one job's completions in key order. Steps and rows are found by index; other filters read the completions
themselves, within the time limit of a search.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    Float,
    Subquery,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import Session, aliased, undefer

from backend.db.jobs import Job
from backend.db.pages import Listing
from backend.db.search import MAX_SEARCH_CHARACTERS, contains
from backend.db.training import Rollout
from backend.verifiers.record import ScoreStatus

MAX_NUMBER = 10**12


class Outcome(StrEnum):
    RIGHT = "right"
    """The score is above the job's `success_above`."""
    WRONG = "wrong"
    """The score is not above `success_above`."""
    FAULT = "fault"
    """The verifier failed or was stopped."""
    ABSTAIN = "abstain"
    """The verifier returned no score on purpose."""


class Solved(StrEnum):
    """How often a row's graded completions were right."""

    NEVER = "never"
    SOMETIMES = "sometimes"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class RowResults:
    """The results on a row: `graded` completions have a score, `solved` of them one above `success_above`."""

    row: int
    completions: int
    graded: int
    solved: int
    mean_score: float | None
    best_score: float | None
    last_step: int

    @property
    def solve_rate(self) -> float | None:
        """The solved share of the graded completions; None if none is graded."""
        return self.solved / self.graded if self.graded else None


class RolloutFilter(BaseModel):
    """Conditions on rollouts; unset ones exclude none. A bound on the score excludes rollouts without one."""

    step: int | None = Field(None, ge=0, le=MAX_NUMBER)
    row: int | None = Field(None, ge=0, le=MAX_NUMBER)
    practice: bool = Field(
        False, description="Only completions of practice, whose prompt had a hint; otherwise only the others."
    )
    status: ScoreStatus | None = None
    outcome: list[Outcome] | None = Field(
        None, max_length=len(Outcome), description="Any of these; repeat the parameter for several."
    )
    min_score: float | None = Field(None, allow_inf_nan=False)
    max_score: float | None = Field(None, allow_inf_nan=False)
    mixed: bool = Field(
        False,
        description="Only completions of questions answered both right and wrong in the same step, with or without "
        "the hint of practice.",
    )
    with_tokens: bool = Field(False, description="Only completions whose tokens are stored.")
    search: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_SEARCH_CHARACTERS,
        description="Part of the text, case-insensitive.",
    )


def rollouts_of(job: Job, filters: RolloutFilter) -> Listing[Rollout]:
    """Select the job's rollouts that match."""
    score = Rollout.record["score"].as_float()
    practised = Rollout.hint.is_not(None) if filters.practice else Rollout.hint.is_(None)
    conditions: list[ColumnExpressionArgument[bool]] = [Rollout.job_id == job.id, practised]
    if filters.step is not None:
        conditions.append(Rollout.step == filters.step)
    if filters.row is not None:
        conditions.append(Rollout.row == filters.row)
    if filters.status is not None:
        conditions.append(Rollout.record["status"].as_string() == filters.status)
    if filters.outcome:
        conditions.append(_has_outcome(filters.outcome, job=job))
    if filters.min_score is not None:
        conditions.append(score >= filters.min_score)
    if filters.max_score is not None:
        conditions.append(score <= filters.max_score)
    if filters.mixed:
        conditions.append(_in_mixed_group(job))
    if filters.with_tokens:
        conditions.append(Rollout.has_tokens)
    if filters.search is not None:
        conditions.append(contains(Rollout.completion, filters.search))
    return Listing(select(Rollout).where(*conditions), keys=(Rollout.step, Rollout.number))


def find_rollout(session: Session, job: Job, *, step: int, number: int, with_tokens: bool) -> Rollout | None:
    """Return a rollout of the job, with its tokens where they are asked for."""
    options = [undefer(Rollout.tokens)] if with_tokens else []
    return session.get(Rollout, (job.id, step, number), options=options)


def row_results(
    session: Session, job: Job, *, solved: Solved | None, after: int | None, limit: int
) -> tuple[list[RowResults], dict[str, int]]:
    """Return the results on the rows after this one, without practice, and how many rows were solved how often."""
    results = _results_by_row(job)
    statement = select(results).order_by(results.c.row).limit(limit)
    if solved is not None:
        statement = statement.where(_is_solved(solved, results))
    if after is not None:
        statement = statement.where(results.c.row > after)
    rows = [RowResults(*row) for row in session.execute(statement)]
    columns = [func.count().filter(_is_solved(each, results)) for each in Solved]
    counts = session.execute(select(*columns).select_from(results)).one()
    return rows, dict(zip(Solved, counts, strict=True))


def _results_by_row(job: Job) -> Subquery:
    score = _score(Rollout)
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
        .where(Rollout.job_id == job.id, Rollout.hint.is_(None))
        .group_by(Rollout.row)
        .subquery()
    )


def _is_solved(solved: Solved, results: Subquery) -> ColumnElement[bool]:
    if solved is Solved.NEVER:
        return and_(results.c.graded > 0, results.c.solved == 0)
    if solved is Solved.ALWAYS:
        return and_(results.c.graded > 0, results.c.solved == results.c.graded)
    return and_(results.c.solved > 0, results.c.solved < results.c.graded)


def _score(table: Any) -> ColumnElement[float]:
    return type_coerce(table.record["score"].as_float(), Float)


def _has_outcome(outcomes: Collection[Outcome], *, job: Job) -> ColumnElement[bool]:
    score, status, above = _score(Rollout), Rollout.record["status"].as_string(), job.spec["success_above"]
    conditions = {
        Outcome.RIGHT: score > above,
        Outcome.WRONG: score <= above,
        Outcome.FAULT: status.in_((ScoreStatus.ERROR, ScoreStatus.TIMEOUT)),
        Outcome.ABSTAIN: status == ScoreStatus.ABSTAIN,
    }
    return or_(*(conditions[outcome] for outcome in outcomes))


def _in_mixed_group(job: Job) -> ColumnElement[bool]:
    """Build the condition that the question was answered both right and wrong in the same step."""

    def any_rollout(other: Any, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        same = and_(
            other.job_id == Rollout.job_id,
            other.step == Rollout.step,
            other.row == Rollout.row,
            other.hint.is_(None) == Rollout.hint.is_(None),
        )
        return exists(select(1).where(same, condition))

    good, bad, above = aliased(Rollout), aliased(Rollout), job.spec["success_above"]
    return and_(any_rollout(good, _score(good) > above), any_rollout(bad, _score(bad) <= above))
