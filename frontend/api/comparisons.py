"""`/v1/comparisons` and `/v1/compared-jobs`."""

from typing import Any, cast

from frontend.api.http import Wire, segment
from frontend.api.types import ComparisonObject, ComparisonResult, CurveObject, Json, Page


class Comparisons(Wire):
    """Comparisons of arms, and of chosen jobs."""

    def comparisons(self, *, after: str | None = None, limit: int = 20) -> Page[ComparisonObject]:
        return cast("Page[ComparisonObject]", self.get_json("/v1/comparisons", after=after, limit=limit))

    def comparison(self, comparison_id: str) -> ComparisonObject:
        return cast("ComparisonObject", self.get_json(f"/v1/comparisons/{segment(comparison_id)}"))

    def create_comparison(self, body: Json) -> ComparisonObject:
        return cast("ComparisonObject", self.call("POST", "/v1/comparisons", json=body))

    def cancel_comparison(self, comparison_id: str) -> ComparisonObject:
        return cast("ComparisonObject", self.call("POST", f"/v1/comparisons/{segment(comparison_id)}/cancel"))

    def delete_comparison(self, comparison_id: str) -> None:
        self.call("DELETE", f"/v1/comparisons/{segment(comparison_id)}")

    def comparison_result(self, comparison_id: str) -> ComparisonResult:
        return cast("ComparisonResult", self.get_json(f"/v1/comparisons/{segment(comparison_id)}/result"))

    def comparison_curves(self, comparison_id: str, *, metric: str) -> list[CurveObject]:
        return self._curves(f"/v1/comparisons/{segment(comparison_id)}/curves", metric=metric)

    def result_of_jobs(self, job_ids: list[str]) -> ComparisonResult:
        return cast("ComparisonResult", self.call("GET", "/v1/compared-jobs/result", params={"job": job_ids}))

    def curves_of_jobs(self, job_ids: list[str], *, metric: str) -> list[CurveObject]:
        return self._curves("/v1/compared-jobs/curves", metric=metric, job=job_ids)

    def _curves(self, path: str, **query: Any) -> list[CurveObject]:
        return cast("list[CurveObject]", self.call("GET", path, params=query)["data"])
