"""`/v1/comparisons` and `/v1/compared-jobs`."""

from typing import Any, Literal, TypedDict, cast

from frontend.api.http import Wire
from frontend.api.types import Json, Page


class ComparedRun(TypedDict):
    job: str
    arm: str
    seed: int
    status: str
    step: int
    max_steps: int
    fine_tuned_model: str | None


class Comparison(TypedDict):
    """A comparison of training methods. `plan`: the request that created it."""

    id: str
    name: str
    created_at: int
    status: Literal["running", "ended"]
    plan: Json
    runs: list[ComparedRun]


class Interval(TypedDict):
    """A mean with its 95 % interval; the ends are None if there are too few questions."""

    mean: float
    low: float | None
    high: float | None


class ScorePoint(TypedDict):
    step: int
    score: Interval
    by_seed: list[float]
    tokens: float
    seconds: float


class ArmResult(TypedDict):
    """The result of an arm. `difference` and p-values are relative to the first arm; `unscored` of the `completions`
    have no score and are left out."""

    name: str
    seeds: int
    steps: list[int]
    score: Interval | None
    baseline: Interval | None
    pass_at_k: dict[str, float]
    curve: list[ScorePoint]
    seconds: float
    cost_per_point_s: float | None
    cost_per_point: float | None
    completions: int
    unscored: int
    difference: Interval | None
    by_seed: list[float]
    p_value: float | None
    p_adjusted: float | None


class ComparisonResult(TypedDict):
    questions: int
    verdict: str
    currency: str | None
    arms: list[ArmResult]


class CurvePoint(TypedDict):
    step: int
    mean: float
    low: float
    high: float
    runs: int


class Curve(TypedDict):
    """A metric's curve. `name`: an arm's, or a job's id."""

    name: str
    points: list[CurvePoint]


class Comparisons(Wire):
    """Comparisons of arms, and of chosen jobs."""

    def comparisons(self, *, after: str | None = None, limit: int = 20) -> Page:
        return cast("Page", self.get_json("/v1/comparisons", after=after, limit=limit))

    def comparison(self, comparison_id: str) -> Comparison:
        return cast("Comparison", self.get_json(f"/v1/comparisons/{comparison_id}"))

    def create_comparison(self, body: Json) -> Comparison:
        return cast("Comparison", self.call("POST", "/v1/comparisons", json=body))

    def cancel_comparison(self, comparison_id: str) -> Comparison:
        return cast("Comparison", self.call("POST", f"/v1/comparisons/{comparison_id}/cancel"))

    def delete_comparison(self, comparison_id: str) -> None:
        self.call("DELETE", f"/v1/comparisons/{comparison_id}")

    def comparison_result(self, comparison_id: str) -> ComparisonResult:
        return cast("ComparisonResult", self.get_json(f"/v1/comparisons/{comparison_id}/result"))

    def comparison_curves(self, comparison_id: str, *, metric: str) -> list[Curve]:
        return self._curves(f"/v1/comparisons/{comparison_id}/curves", metric=metric)

    def result_of_jobs(self, job_ids: list[str]) -> ComparisonResult:
        return cast("ComparisonResult", self.call("GET", "/v1/compared-jobs/result", params={"job": job_ids}))

    def curves_of_jobs(self, job_ids: list[str], *, metric: str) -> list[Curve]:
        return self._curves("/v1/compared-jobs/curves", metric=metric, job=job_ids)

    def _curves(self, path: str, **query: Any) -> list[Curve]:
        return cast("list[Curve]", self.call("GET", path, params=query)["data"])
