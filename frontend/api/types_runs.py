"""The API's objects of training runs: row outcomes, estimates, completion filters."""

from typing import TypedDict

from frontend.api.types import Json


class RowOutcome(TypedDict):
    """The outcomes of a row. `solve_rate`: the share of graded completions that are right; None if none is graded."""

    id: str
    row: int
    completions: int
    graded: int
    solved: int
    solve_rate: float | None
    mean_score: float | None
    last_step: int


class RowOutcomes(TypedDict):
    """A page of rows; `never`, `sometimes`, `always` count all rows of the job."""

    data: list[RowOutcome]
    has_more: bool
    never: int
    sometimes: int
    always: int


class Range(TypedDict):
    low: float
    median: float
    high: float


class Estimate(TypedDict):
    """An estimate from steps of earlier jobs, or of the pre-flight with this id. `same_file`: on the same dataset.

    Times and sizes are None if unknown; `cost` also if the server has no price, memory also if no step was as large.

    `notices`: how the API interprets the job, if that is not obvious from the request.
    """

    notices: list[str]
    max_steps: int
    jobs: int
    steps: int
    same_file: bool
    preflight: str | None
    device_name: str | None
    step_s: Range | None
    total_s: Range | None
    total_tokens: Range | None
    peak_memory_bytes: Range | None
    cost: Range | None
    currency: str | None


class RolloutFilters(TypedDict, total=False):
    """Filters of `GET …/rollouts`."""

    step: int
    row: int
    outcome: list[str]
    mixed: bool
    with_tokens: bool
    search: str


Arms = list[Json]
"""The arms of a comparison: `{name, x_rlsd}`."""
