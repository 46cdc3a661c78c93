"""`/v1/comparisons`: training methods compared on the same data, verifier, seeds and budget."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session

from backend.api.http.dependencies import Database, ObjectId, delete_or_404, get_or_404
from backend.api.http.paging import ListItem, Page, PageParams, page_of
from backend.api.http.rights import ComparisonsRead, ComparisonsWrite
from backend.base_models import base_models
from backend.comparisons.analysis import Analysis, ArmResult
from backend.comparisons.cache import AnalysisCache
from backend.comparisons.plan import ComparisonRequest
from backend.comparisons.store import analysis_of, cancel, start
from backend.core.outcome import Verdict
from backend.db.base import unix_s
from backend.db.comparisons import ComparedJob, Comparison, comparisons_of, runs_of
from backend.db.jobs import Job
from backend.jobs.lifecycle import TERMINAL, JobState
from backend.settings import settings

router = APIRouter(prefix="/comparisons", tags=["comparisons"])
HOUR_S = 3600.0


async def analyses_of_application(request: Request) -> AnalysisCache:
    analyses: AnalysisCache = request.app.state.analyses
    return analyses


Analyses = Annotated[AnalysisCache, Depends(analyses_of_application)]


class RunObject(BaseModel):
    job: str
    arm: str
    seed: int
    status: JobState
    step: int
    max_steps: int
    fine_tuned_model: str | None


class ComparisonObject(ListItem):
    """A comparison; `status` is running until every job has ended. `plan` is the original request."""

    object: Literal["comparison"] = "comparison"
    name: str
    created_at: int
    status: Literal["running", "ended"]
    plan: dict[str, Any]
    runs: list[RunObject]


class IntervalObject(BaseModel):
    """A mean with its 95 % interval over questions; on curves a t interval."""

    mean: float
    low: float | None
    high: float | None


class PointObject(BaseModel):
    """The mean score over seeds and per seed at a step, with the tokens and seconds used so far (as in `ArmObject`)."""

    step: int
    score: IntervalObject
    by_seed: list[float]
    tokens: float
    seconds: float


class ArmObject(BaseModel):
    """The result of one arm. `score` is avg@k at `steps`, the last evaluation of each seed after a step that started
    within the budget; None if there is none. `difference`, `p_value` and `p_adjusted` (Holm) are against the first arm,
    paired by question, and `outcome` is whether the arm is better, worse or undecided; `by_seed` is the difference of
    each seed. `seconds` is step time times devices; `cost_per_point_s` is the cost of a gain of 0.01 over the base in
    such seconds, None if no gain was shown, `cost_per_point` in money if the server has a price. `unscored` of the
    `completions` at `steps` have no score (abstentions, errors, timeouts), and are left out.
    """

    name: str
    seeds: int
    steps: list[int]
    score: IntervalObject | None
    baseline: IntervalObject | None
    pass_at_k: dict[int, float]
    curve: list[PointObject]
    seconds: float
    cost_per_point_s: float | None
    cost_per_point: float | None
    completions: int
    unscored: int
    difference: IntervalObject | None
    by_seed: list[float]
    p_value: float | None
    p_adjusted: float | None
    outcome: Verdict | None


class ComparisonResult(BaseModel):
    object: Literal["comparison.result"] = "comparison.result"
    questions: int
    verdict: str
    currency: str | None
    arms: list[ArmObject]


class ComparisonDeleted(BaseModel):
    id: str
    object: Literal["comparison"] = "comparison"
    deleted: bool = True


@router.post("")
def create_comparison(body: ComparisonRequest, caller: ComparisonsWrite, session: Database) -> ComparisonObject:
    """Create a comparison and queue a job for each arm and seed."""
    return _comparison_object(session, start(session, body, project=caller.project, models=base_models()))


@router.get("")
def list_comparisons(
    caller: ComparisonsRead,
    session: Database,
    query: PageParams,
) -> Page[ComparisonObject]:
    """List all comparisons, newest first."""
    comparisons = comparisons_of(caller.project)
    return page_of(session, comparisons, query, to_item=lambda row: _comparison_object(session, row))


@router.get("/{comparison_id}")
def get_comparison(comparison_id: ObjectId, caller: ComparisonsRead, session: Database) -> ComparisonObject:
    """Return a comparison and its runs."""
    return _comparison_object(session, get_or_404(session, Comparison, comparison_id, project=caller.project))


@router.post("/{comparison_id}/cancel")
def cancel_comparison(comparison_id: ObjectId, caller: ComparisonsWrite, session: Database) -> ComparisonObject:
    """Cancel every job of a comparison that has not ended."""
    comparison = get_or_404(session, Comparison, comparison_id, project=caller.project)
    cancel(session, comparison)
    return _comparison_object(session, comparison)


@router.delete("/{comparison_id}")
def remove_comparison(comparison_id: ObjectId, caller: ComparisonsWrite, session: Database) -> ComparisonDeleted:
    """Delete a comparison. Its jobs are kept."""
    delete_or_404(session, Comparison, comparison_id, project=caller.project)
    return ComparisonDeleted(id=comparison_id)


@router.get("/{comparison_id}/result")
def get_result(
    comparison_id: ObjectId, caller: ComparisonsRead, session: Database, cache: Analyses
) -> ComparisonResult:
    """Return the current result; while jobs run, it is based on their evaluations so far."""
    comparison = get_or_404(session, Comparison, comparison_id, project=caller.project)
    return result_object(analysis_of(session, comparison, cache=cache))


def result_object(analysis: Analysis) -> ComparisonResult:
    price = settings().gpu_hour_price
    return ComparisonResult(
        questions=analysis.questions,
        verdict=analysis.verdict,
        currency=None if price is None else settings().currency,
        arms=[_arm_object(arm, price=price) for arm in analysis.arms],
    )


def _comparison_object(session: Session, comparison: Comparison) -> ComparisonObject:
    compared = runs_of(session, comparison)
    return ComparisonObject(
        id=comparison.id,
        name=comparison.name,
        created_at=unix_s(comparison.created_at),
        status="ended" if all(job.state in TERMINAL for _, job in compared) else "running",
        plan=comparison.plan,
        runs=[_run_object(run, job) for run, job in compared],
    )


def _run_object(run: ComparedJob, job: Job) -> RunObject:
    return RunObject(
        job=job.id,
        arm=run.arm,
        seed=run.seed,
        status=JobState(job.state),
        step=job.step,
        max_steps=job.max_steps,
        fine_tuned_model=job.fine_tuned_model,
    )


def _arm_object(arm: ArmResult, *, price: float | None) -> ArmObject:
    seconds = arm.cost_per_point_s
    cost = None if price is None or seconds is None else seconds / HOUR_S * price
    return ArmObject.model_validate(asdict(arm) | {"outcome": arm.outcome, "cost_per_point": cost})
