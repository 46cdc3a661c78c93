"""What a comparison is asked for: the body of `POST /v1/comparisons`, and the jobs that follow from it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from backend.jobs.request import JobRequest, Strict

MAX_RUNS = 200
SEED = Field(ge=0, lt=2**31)


class Arm(Strict):
    """One way of training: `x_rlsd` says how it differs from the comparison's own settings."""

    name: str = Field(min_length=1, max_length=60)
    x_rlsd: dict[str, Any] = Field(default_factory=dict)


class BudgetRequest(Strict):
    """Equal for all arms. Runs are compared at their last evaluation within `limit`; None: at their end."""

    unit: Literal["steps", "tokens", "seconds"] = "steps"
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


def planned_jobs(request: ComparisonRequest) -> Iterator[tuple[Arm, int, JobRequest]]:
    """(arm, seed, job): all arms with the first seed, then with the next, so that pairs come early."""
    for seed in request.seeds:
        for arm in request.arms:
            job = request.job.model_dump(mode="json", exclude_unset=True)
            reinforcement = job["method"]["reinforcement"]
            reinforcement["x_rlsd"] = {**reinforcement.get("x_rlsd", {}), **arm.x_rlsd}
            job["seed"] = seed
            yield arm, seed, JobRequest.model_validate(job)
