"""The body of `POST /v1/comparisons`, and the jobs of a comparison."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field, model_validator

from backend.core.settings.about import Strict
from backend.core.settings.choices import BudgetUnit
from backend.core.settings.limits import MAX_BUDGET, Seed
from backend.errors import AppError
from backend.jobs.request import JobRequest
from backend.jobs.resolve import X_RLSD

MAX_RUNS = 200
BUDGET_SETTINGS = ("budget", "budget_unit")
"""Settings of a job that the comparison's `budget` determines."""
SHARED_SETTINGS = (
    "max_steps",
    "eval_interval",
    "eval_samples",
    "eval_rows",
    "held_out_share",
    "success_above",
    *BUDGET_SETTINGS,
)
"""Settings that must be equal for all arms: training budget and evaluation."""


class Arm(Strict):
    """One training configuration: `x_rlsd` overrides settings of the comparison's job."""

    name: str = Field(min_length=1, max_length=60)
    x_rlsd: dict[str, Any] = Field(
        default_factory=dict,
        description=f"Settings of this arm, except {', '.join(SHARED_SETTINGS)}, which are equal for all arms.",
    )


class BudgetRequest(Strict):
    """Budget of every run. A run ends with the step that uses up `limit`, or after `max_steps`, and is then evaluated.

    Compared is the last evaluation after a step that started within the limit, not the one before training. Tokens are
    those sampled, scored by the teacher and trained on; seconds are those of the steps times the devices of the run.
    """

    unit: BudgetUnit = "steps"
    limit: float | None = Field(None, gt=0, le=MAX_BUDGET)


class ComparisonRequest(Strict):
    """`job` is the body of a job without seed; each arm changes its `x_rlsd`. All are compared with the first arm."""

    name: str = Field(min_length=1, max_length=200)
    job: JobRequest
    arms: list[Arm] = Field(min_length=2, max_length=20)
    seeds: list[Seed] = Field(default=[0, 1, 2], min_length=1, max_length=20)
    budget: BudgetRequest = Field(default_factory=BudgetRequest)

    @model_validator(mode="after")
    def _sensible(self) -> "ComparisonRequest":
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError("names of arms must differ")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ")
        if len(names) * len(self.seeds) > MAX_RUNS:
            raise ValueError(f"{len(names)} arms with {len(self.seeds)} seeds exceed the limit of {MAX_RUNS} runs")
        if self.job.seed is not None:
            raise ValueError("job.seed is not allowed: set the seeds of all arms in `seeds`")
        return self


def require_equal_terms(request: ComparisonRequest) -> None:
    """Raise AppError naming a setting that an arm must not change or that `budget` determines."""
    for number, arm in enumerate(request.arms):
        for name in SHARED_SETTINGS:
            if name in arm.x_rlsd:
                raise AppError(
                    f"Arm '{arm.name}': {name} must be equal for all arms: set it in "
                    f"`{'budget' if name in BUDGET_SETTINGS else 'job'}` instead.",
                    code="not_equal",
                    param=f"arms.{number}.x_rlsd.{name}",
                )
    for name in BUDGET_SETTINGS:
        if name in request.job.method.reinforcement.x_rlsd:
            raise AppError(
                f"{name} is not allowed in a compared job: set the comparison's `budget` instead.",
                code="not_equal",
                param=f"job.{X_RLSD}.{name}",
            )


def planned_jobs(request: ComparisonRequest) -> Iterator[tuple[Arm, int, JobRequest]]:
    """Yield (arm, seed, job): all arms with one seed, then with the next, so that pairs finish early."""
    budget = request.budget
    bounds = {} if budget.limit is None else {"budget": budget.limit, "budget_unit": budget.unit}
    for seed in request.seeds:
        for arm in request.arms:
            job = request.job.model_dump(mode="json", exclude_unset=True)
            reinforcement = job["method"]["reinforcement"]
            reinforcement["x_rlsd"] = {**reinforcement.get("x_rlsd", {}), **arm.x_rlsd, **bounds}
            job["seed"] = seed
            yield arm, seed, JobRequest.model_validate(job)
