"""What a comparison is asked for: the body of `POST /v1/comparisons`, and the jobs that follow from it."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from backend.errors import AppError
from backend.jobs.request import JobRequest, Strict
from backend.jobs.resolve import X_RLSD
from backend.jobs.spec import BudgetUnit

MAX_RUNS = 200
SEED = Field(ge=0, lt=2**31)
BUDGET = ("budget", "budget_unit")
"""Settings of a job that the comparison's own `budget` decides."""
EQUAL = ("max_steps", "eval_interval", "eval_samples", "eval_rows", "held_out_share", "success_above", *BUDGET)
"""Settings of a job in which no arm may differ: how long it may learn, and how it is measured."""


class Arm(Strict):
    """One way of training: `x_rlsd` says how it differs from the comparison's own settings."""

    name: str = Field(min_length=1, max_length=60)
    x_rlsd: dict[str, Any] = Field(
        default_factory=dict, description=f"Settings of this arm; {', '.join(EQUAL)} are equal for all."
    )


class BudgetRequest(Strict):
    """Equal for all arms. A run ends, evaluated, with the step that uses up `limit`; None: after its `max_steps`.

    It is compared at its last evaluation after a step that it began within the limit, not before training. Tokens are
    those written, read by the teacher and trained on; seconds are those of the steps, times the devices of the run.
    """

    unit: BudgetUnit = "steps"
    limit: float | None = Field(None, gt=0, le=1e15)


class ComparisonRequest(Strict):
    """`job` is a job's body without seed; each arm changes its `x_rlsd`. Others are compared with the first arm."""

    name: str = Field(min_length=1, max_length=200)
    job: JobRequest
    arms: list[Arm] = Field(min_length=2, max_length=20)
    seeds: list[Annotated[int, SEED]] = Field(default=[0, 1, 2], min_length=1, max_length=20)
    budget: BudgetRequest = Field(default_factory=BudgetRequest)

    @model_validator(mode="after")
    def _sensible(self) -> "ComparisonRequest":
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError("arms need different names")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ")
        if len(names) * len(self.seeds) > MAX_RUNS:
            raise ValueError(f"{len(names)} arms with {len(self.seeds)} seeds are more than {MAX_RUNS} runs")
        if self.job.seed is not None:
            raise ValueError("job.seed is not taken: `seeds` says with which seeds every arm is run")
        return self


def require_equal_terms(request: ComparisonRequest) -> None:
    """Raises AppError naming what an arm would have of its own, or what `budget` says."""
    for number, arm in enumerate(request.arms):
        for name in EQUAL:
            if name in arm.x_rlsd:
                raise AppError(
                    f"Arm '{arm.name}': {name} must be equal for all arms, or they are not comparable: say it in "
                    f"`{'budget' if name in BUDGET else 'job'}`.",
                    code="not_equal",
                    param=f"arms.{number}.x_rlsd.{name}",
                )
    for name in BUDGET:
        if name in request.job.method.reinforcement.x_rlsd:
            raise AppError(
                f"{name} is not taken from a compared job: `budget` says what every run may use.",
                code="not_equal",
                param=f"job.{X_RLSD}.{name}",
            )


def planned_jobs(request: ComparisonRequest) -> Iterator[tuple[Arm, int, JobRequest]]:
    """(arm, seed, job): all arms with the first seed, then with the next, so that pairs come early."""
    budget = request.budget
    bounds = {} if budget.limit is None else {"budget": budget.limit, "budget_unit": budget.unit}
    for seed in request.seeds:
        for arm in request.arms:
            job = request.job.model_dump(mode="json", exclude_unset=True)
            reinforcement = job["method"]["reinforcement"]
            reinforcement["x_rlsd"] = {**reinforcement.get("x_rlsd", {}), **arm.x_rlsd, **bounds}
            job["seed"] = seed
            yield arm, seed, JobRequest.model_validate(job)
