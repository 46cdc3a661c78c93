"""`/v1/verifiers` and `/v1/fine_tuning/alpha/graders`."""

from typing import cast

from frontend.api.http import Wire
from frontend.api.types import Check, Json, Page, ScoreRecord, Verifier

MOST_CHOICES = 2000
"""Limit of the verifiers offered in a menu."""


class Verifiers(Wire):
    """Verifiers, saved or not."""

    def verifiers(self, *, after: str | None = None, limit: int = 100) -> Page:
        return cast("Page", self.get_json("/v1/verifiers", after=after, limit=limit, order="desc"))

    def all_verifiers(self) -> list[Verifier]:
        """List all verifiers, the newest first."""
        found: list[Verifier] = []
        after: str | None = None
        while len(found) < MOST_CHOICES:
            page = self.verifiers(after=after)
            found += page["data"]
            if not page["has_more"]:
                break
            after = found[-1]["id"]
        return found

    def ready_made_verifiers(self) -> list[Json]:
        """List the ready-made verifiers: `{id, name, use, grader, examples}`."""
        return cast("list[Json]", self.get_json("/v1/verifiers/ready-made")["data"])

    def verifier(self, verifier_id: str) -> Verifier:
        return cast("Verifier", self.get_json(f"/v1/verifiers/{verifier_id}"))

    def verifier_versions(self, verifier_id: str) -> Page:
        return cast("Page", self.get_json(f"/v1/verifiers/{verifier_id}/versions", limit=100))

    def create_verifier(self, *, name: str, grader: Json) -> Verifier:
        return cast("Verifier", self.call("POST", "/v1/verifiers", json={"name": name, "grader": grader}))

    def add_verifier_version(self, verifier_id: str, *, name: str, grader: Json) -> Verifier:
        path = f"/v1/verifiers/{verifier_id}/versions"
        return cast("Verifier", self.call("POST", path, json={"name": name, "grader": grader}))

    def validate_grader(self, grader: Json) -> Json:
        """Validate a grader: `{grader, x_signature?}`. An ApiError names the invalid field."""
        return self.call("POST", "/v1/fine_tuning/alpha/graders/validate", json={"grader": grader})

    def try_verifier(self, grader: Json, *, item: Json, answer: str | None, output_text: str) -> ScoreRecord:
        """Score one text in a worker's sandbox, by a verifier that need not be saved."""
        sample = {"item": item, "answer": answer, "output_text": output_text}
        body = {"grader": grader, "samples": [sample]}
        return cast("ScoreRecord", self.call("POST", "/v1/verifiers/test", json=body)["records"][0])

    def score_all(self, grader: Json, samples: list[Json]) -> list[ScoreRecord]:
        """Score each `{item, answer, output_text}`, in order, by a verifier that need not be saved."""
        body = {"grader": grader, "samples": samples}
        return cast("list[ScoreRecord]", self.call("POST", "/v1/verifiers/test", json=body)["records"])

    def sample_answers(self, model: str, prompt: Json, *, count: int, max_tokens: int) -> list[str]:
        """Sample answers of a model at temperature 1, as at the start of training. `prompt`: messages and tools."""
        body = {**prompt, "model": model, "n": count, "max_tokens": max_tokens, "temperature": 1.0}
        choices = self.call("POST", "/v1/chat/completions", json=body)["choices"]
        return [str(choice["message"]["content"] or "") for choice in choices]

    def self_check(self, grader: Json, *, file: str, rows: int) -> Check:
        """Start a self-check of a verifier on rows of a file. Poll the check for the result, a `SelfCheckResult`."""
        body = {"grader": grader, "file": file, "rows": rows}
        return cast("Check", self.call("POST", "/v1/verifiers/check", json=body))
