"""The API's objects of runs: what is written, how rows fare, what a job will take."""

from typing import TypedDict

from frontend.api.types import Json


class RowFared(TypedDict):
    """`solve_rate`: the right share of the graded completions; None where none is graded."""

    id: str
    row: int
    completions: int
    graded: int
    solved: int
    solve_rate: float | None
    mean_score: float | None
    last_step: int


class RowsFared(TypedDict):
    """A page of rows; `never`, `sometimes`, `always` count all rows of the job."""

    data: list[RowFared]
    has_more: bool
    never: int
    sometimes: int
    always: int


class Range(TypedDict):
    low: float
    median: float
    high: float


class Estimate(TypedDict):
    """From steps of earlier jobs, or of the pre-flight with this id; `same_file`: on the same dataset. Times and sizes
    are None where nothing is known, `cost` also where the server knows no price, memory where no known step was as
    large.

    `notices`: how the API understands the job where that is not plain from the request.
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
    """What `GET …/rollouts` can be narrowed to."""

    step: int
    row: int
    outcome: list[str]
    mixed: bool
    with_tokens: bool
    search: str


Arms = list[Json]
"""Ways of training that are compared: `{name, x_rlsd}`."""
