"""`/v1/fine_tuning/jobs`, pre-flights and teacher previews."""

from collections.abc import Sequence
from typing import Literal, cast

from frontend.api.http import Wire, segment
from frontend.api.types import (
    CheckObject,
    EstimateObject,
    EvaluationObject,
    EventObject,
    JobChecksInFull,
    JobObject,
    Json,
    ListRolloutsQuery,
    Page,
    RolloutObject,
    RowsPage,
    StepMetrics,
    TokensObject,
)

JOBS = "/v1/fine_tuning/jobs"


class Jobs(Wire):
    """Training jobs: pre-flight, creation, control, results."""

    def jobs(
        self, *, after: str | None = None, limit: int = 20, status: Sequence[str] = (), name: str | None = None
    ) -> Page[JobObject]:
        """List jobs, the newest first, by state and by a part of their name, model or id."""
        given = {"after": after, "limit": limit, "status": list(status) or None, "name": name}
        query = {field: value for field, value in given.items() if value is not None}
        return cast("Page[JobObject]", self.call("GET", JOBS, params=query))

    def job(self, job_id: str) -> JobObject:
        return cast("JobObject", self.get_json(f"{JOBS}/{segment(job_id)}"))

    def create_job(self, body: Json) -> JobObject:
        return cast("JobObject", self.call("POST", JOBS, json=body))

    def preflight(self, trial: Json) -> CheckObject:
        """Start a pre-flight: `{model, training_file, grader, x_rlsd, rows, samples}`. The check holds its report."""
        return cast("CheckObject", self.call("POST", "/v1/fine_tuning/preflight", json=trial))

    def teacher_preview(self, trial: Json) -> CheckObject:
        """Build the prompts of a row: `{model, training_file, x_rlsd, row}`. Done at once unless the worker is busy."""
        return cast("CheckObject", self.call("POST", "/v1/fine_tuning/teacher-preview", json=trial))

    def control_job(self, job_id: str, action: Literal["cancel", "pause", "resume"]) -> JobObject:
        return cast("JobObject", self.call("POST", f"{JOBS}/{segment(job_id)}/{action}"))

    def events(self, job_id: str, *, after: str | None = None, limit: int = 50) -> Page[EventObject]:
        """List events, the newest first."""
        return cast(
            "Page[EventObject]",
            self.get_json(f"{JOBS}/{segment(job_id)}/events", after=after, limit=limit),
        )

    def job_checks(self, job_id: str) -> JobChecksInFull:
        """Return the results of the checks before training, in full."""
        return cast("JobChecksInFull", self.get_json(f"{JOBS}/{segment(job_id)}/checks"))

    def metrics(self, job_id: str, *, after: str | None, limit: int = 1000) -> Page[StepMetrics]:
        """List the metrics of the steps after step `after`, in order."""
        return cast(
            "Page[StepMetrics]",
            self.get_json(f"{JOBS}/{segment(job_id)}/metrics", after=after, limit=limit),
        )

    def evaluations(self, job_id: str) -> list[EvaluationObject]:
        return cast("list[EvaluationObject]", self.get_json(f"{JOBS}/{segment(job_id)}/evaluations")["data"])

    def rollouts(
        self,
        job_id: str,
        *,
        filters: ListRolloutsQuery,
        after: str | None,
        limit: int,
        order: Literal["asc", "desc"] = "asc",
    ) -> Page[RolloutObject]:
        """List completions by step."""
        given = {**filters, "after": after, "limit": limit, "order": order}
        query = {name: value for name, value in given.items() if value is not None}
        return cast("Page[RolloutObject]", self.call("GET", f"{JOBS}/{segment(job_id)}/rollouts", params=query))

    def rollout(self, job_id: str, rollout_id: str) -> RolloutObject:
        return cast("RolloutObject", self.get_json(f"{JOBS}/{segment(job_id)}/rollouts/{segment(rollout_id)}"))

    def tokens(self, job_id: str, rollout_id: str) -> TokensObject:
        return cast(
            "TokensObject",
            self.get_json(f"{JOBS}/{segment(job_id)}/rollouts/{segment(rollout_id)}/tokens"),
        )

    def row_outcomes(self, job_id: str, *, solved: str | None, after: str | None, limit: int) -> RowsPage:
        """List how often training rows were solved. `solved`: never, sometimes, always."""
        path = f"{JOBS}/{segment(job_id)}/rows"
        return cast("RowsPage", self.get_json(path, solved=solved, after=after, limit=limit))

    def estimate(self, body: Json) -> EstimateObject:
        """Estimate a job's time, tokens and cost. An invalid body is refused as it would be on creation."""
        return cast("EstimateObject", self.call("POST", "/v1/fine_tuning/jobs/estimate", json=body))

    def rescore(self, job_id: str, *, grader: Json, first: int | None, last: int | None, limit: int) -> CheckObject:
        """Start re-scoring the newest completions of these steps (None: open end). Poll the check for the result."""
        steps = {name: step for name, step in (("from", first), ("to", last)) if step is not None}
        body = {"grader": grader, "steps": steps, "limit": limit}
        return cast("CheckObject", self.call("POST", f"{JOBS}/{segment(job_id)}/rescore", json=body))

    def settings_schemas(self) -> dict[str, Json]:
        """Return JSON schemas by name, including `RlsdSettings`, `Practice` and `Lora`, from its OpenAPI page."""
        return cast("dict[str, Json]", self.get_json("/openapi.json")["components"]["schemas"])
