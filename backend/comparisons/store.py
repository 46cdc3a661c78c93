"""Storage of comparisons, and loading of their runs."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import accumulate

from sqlalchemy.orm import Session

from backend.comparisons.analysis import Analysis, EvaluationScores, Run, analyse
from backend.comparisons.cache import AnalysisCache
from backend.comparisons.plan import BudgetRequest, ComparisonRequest, planned_jobs, require_equal_terms
from backend.db.base import utc_now
from backend.db.comparisons import ComparedJob, Comparison, runs_of
from backend.db.jobs import Job
from backend.db.training import evaluation_times, evaluations_of, metrics_of
from backend.errors import AppError
from backend.ids import new_id
from backend.jobs import control
from backend.jobs.create import create_job
from backend.jobs.estimate import TOKEN_METRICS
from backend.jobs.lifecycle import TERMINAL


def start(session: Session, request: ComparisonRequest, *, project: str, models: Mapping[str, str]) -> Comparison:
    """Store the project's comparison and all its jobs atomically. Raises AppError naming the arm that is invalid."""
    require_equal_terms(request)
    plan = request.model_dump(mode="json", exclude_unset=True)
    comparison = Comparison(id=new_id("cmp"), name=request.name, plan=plan, created_at=utc_now(), project_id=project)
    session.add(comparison)
    session.flush()
    for arm, seed, job_request in planned_jobs(request):
        try:
            job = create_job(session, job_request, project=project, models=models)
        except AppError as error:
            raise AppError(
                f"Arm '{arm.name}': {error.message}",
                status=error.status,
                code=error.code,
                param=error.param and f"job.{error.param}",
                type=error.type,
            ) from None
        session.add(ComparedJob(comparison_id=comparison.id, job_id=job.id, arm=arm.name, seed=seed))
    session.flush()
    return comparison


def cancel(session: Session, comparison: Comparison) -> None:
    """Cancel all jobs of the comparison that have not ended."""
    for _, job in runs_of(session, comparison):
        if job.state not in TERMINAL:
            control.cancel(session, job)


def analysis_of(session: Session, comparison: Comparison, *, cache: AnalysisCache) -> Analysis:
    """Return the current analysis; it is recomputed only after new evaluations."""
    compared = runs_of(session, comparison)
    budget = BudgetRequest.model_validate(comparison.plan.get("budget", {}))

    def compute() -> Analysis:
        return analyse(
            [arm["name"] for arm in comparison.plan["arms"]],
            [load_run(session, job, arm=run.arm) for run, job in compared],
            budget=budget.unit,
            limit=budget.limit,
            success_above=compared[0][1].spec["success_above"] if compared else 0.5,
        )

    return cache.get((comparison.id, *evaluation_key(session, [job for _, job in compared])), compute)


def evaluation_key(session: Session, jobs: Sequence[Job]) -> tuple[Hashable, ...]:
    """Return a cache key that changes whenever an evaluation of the jobs is added, removed or repeated."""
    return (*(job.id for job in jobs), *evaluation_times(session, jobs))


def load_run(session: Session, job: Job, *, arm: str) -> Run:
    """Load the evaluations and the resource use of one job."""
    by_step = {
        each.step: EvaluationScores(
            each.step,
            {of["row"]: of["scores"] for of in each.result["per_question"]},
            selection=(each.result.get("selection") or {}).get("mean"),
        )
        for each in evaluations_of(session, job)
    }
    known = metrics_of(session, job)
    tokens = accumulate(sum(metrics.get(name) or 0.0 for name in TOKEN_METRICS) for _, metrics in known)
    seconds = accumulate((metrics.get("step_s") or 0.0) * job.spec["devices"] for _, metrics in known)
    numbers = [step for step, _ in known]
    return Run(
        arm=arm,
        seed=job.seed,
        evaluations=list(by_step.values()),
        tokens=dict(zip(numbers, tokens, strict=True)),
        seconds=dict(zip(numbers, seconds, strict=True)),
    )
