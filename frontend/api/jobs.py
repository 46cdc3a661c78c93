"""`/v1/fine_tuning/jobs` and what is asked before one starts."""

from collections.abc import Sequence
from typing import Literal, cast

from frontend.api.http import Wire
from frontend.api.types import Check, Evaluation, Job, Json, Page, Rollout, Tokens
from frontend.api.types_runs import Estimate, RolloutFilters, RowsFared


class Jobs(Wire):
    """Training: from the trial to its figures."""

    def jobs(
        self, *, after: str | None = None, limit: int = 20, status: Sequence[str] = (), name: str | None = None
    ) -> Page:
        """The newest first; of any of these states, and with this in their name, model or id."""
        asked = {"after": after, "limit": limit, "status": list(status) or None, "name": name}
        query = {field: value for field, value in asked.items() if value is not None}
        return cast("Page", self.call("GET", "/v1/fine_tuning/jobs", params=query))

    def job(self, job_id: str) -> Job:
        return cast("Job", self.get_json(f"/v1/fine_tuning/jobs/{job_id}"))

    def create_job(self, body: Json) -> Job:
        return cast("Job", self.call("POST", "/v1/fine_tuning/jobs", json=body))

    def preflight(self, trial: Json) -> Check:
        """Sample from the base model: `{model, training_file, grader, x_rlsd, rows, samples}`; poll the check."""
        return cast("Check", self.call("POST", "/v1/fine_tuning/preflight", json=trial))

    def teacher_preview(self, trial: Json) -> Check:
        """The prompts of a row: `{model, training_file, x_rlsd, row}`; done, unless the worker is busy."""
        return cast("Check", self.call("POST", "/v1/fine_tuning/teacher-preview", json=trial))

    def ask_job(self, job_id: str, wish: Literal["cancel", "pause", "resume"]) -> Job:
        return cast("Job", self.call("POST", f"/v1/fine_tuning/jobs/{job_id}/{wish}"))

    def events(self, job_id: str, *, after: str | None = None, limit: int = 50) -> Page:
        """The newest first."""
        return cast("Page", self.get_json(f"/v1/fine_tuning/jobs/{job_id}/events", after=after, limit=limit))

    def job_checks(self, job_id: str) -> Json:
        """What was found before training, with every detail."""
        return self.get_json(f"/v1/fine_tuning/jobs/{job_id}/checks")

    def metrics(self, job_id: str, *, after: str | None, limit: int = 1000) -> Page:
        """Steps in order, those after step `after`."""
        return cast("Page", self.get_json(f"/v1/fine_tuning/jobs/{job_id}/metrics", after=after, limit=limit))

    def evaluations(self, job_id: str) -> list[Evaluation]:
        return cast("list[Evaluation]", self.get_json(f"/v1/fine_tuning/jobs/{job_id}/evaluations")["data"])

    def rollouts(
        self,
        job_id: str,
        *,
        filters: RolloutFilters,
        after: str | None,
        limit: int,
        order: Literal["asc", "desc"] = "asc",
    ) -> Page:
        """What the model wrote, by step."""
        asked = {**filters, "after": after, "limit": limit, "order": order}
        query = {name: value for name, value in asked.items() if value is not None}
        return cast("Page", self.call("GET", f"/v1/fine_tuning/jobs/{job_id}/rollouts", params=query))

    def rollout(self, job_id: str, rollout_id: str) -> Rollout:
        return cast("Rollout", self.get_json(f"/v1/fine_tuning/jobs/{job_id}/rollouts/{rollout_id}"))

    def tokens(self, job_id: str, rollout_id: str) -> Tokens:
        return cast("Tokens", self.get_json(f"/v1/fine_tuning/jobs/{job_id}/rollouts/{rollout_id}/tokens"))

    def rows_fared(self, job_id: str, *, solved: str | None, after: str | None, limit: int) -> RowsFared:
        """How the rows that were trained on fared; `solved`: never, sometimes, always."""
        path = f"/v1/fine_tuning/jobs/{job_id}/rows"
        return cast("RowsFared", self.get_json(path, solved=solved, after=after, limit=limit))

    def estimate(self, body: Json) -> Estimate:
        """What the job of this body would take. A body that could not be a job is refused as it would be then."""
        return cast("Estimate", self.call("POST", "/v1/fine_tuning/jobs/estimate", json=body))

    def rescore(self, job_id: str, *, grader: Json, first: int | None, last: int | None, limit: int) -> Check:
        """Score the newest completions of these steps again, None for an open end; the check tells the rest."""
        steps = {name: step for name, step in (("from", first), ("to", last)) if step is not None}
        body = {"grader": grader, "steps": steps, "limit": limit}
        return cast("Check", self.call("POST", f"/v1/fine_tuning/jobs/{job_id}/rescore", json=body))

    def settings_schemas(self) -> dict[str, Json]:
        """JSON schemas by name, `RlsdSettings` and `Lora` among them, from the API's description of itself."""
        return cast("dict[str, Json]", self.get_json("/openapi.json")["components"]["schemas"])
