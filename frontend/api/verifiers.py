"""`/v1/verifiers` and `/v1/fine_tuning/alpha/graders`."""

from typing import cast

from frontend.api.http import Wire
from frontend.api.types import (
    CheckObject,
    InstructionsObject,
    Json,
    Page,
    ReadyMadeObject,
    ScoreRecordObject,
    ValidateResponse,
    VerifierObject,
    VersionObject,
)

MOST_CHOICES = 2000
"""Limit of the verifiers offered in a menu."""


class Verifiers(Wire):
    """Verifiers, saved or not."""

    def verifiers(self, *, after: str | None = None, limit: int = 100) -> Page[VerifierObject]:
        return cast("Page[VerifierObject]", self.get_json("/v1/verifiers", after=after, limit=limit, order="desc"))

    def all_verifiers(self) -> list[VerifierObject]:
        """List all verifiers, the newest first."""
        found: list[VerifierObject] = []
        after: str | None = None
        while len(found) < MOST_CHOICES:
            page = self.verifiers(after=after)
            found += page["data"]
            if not page["has_more"]:
                break
            after = found[-1]["id"]
        return found

    def ready_made_verifiers(self) -> list[ReadyMadeObject]:
        return cast("list[ReadyMadeObject]", self.get_json("/v1/verifiers/ready-made")["data"])

    def verifier(self, verifier_id: str) -> VerifierObject:
        return cast("VerifierObject", self.get_json(f"/v1/verifiers/{verifier_id}"))

    def verifier_versions(self, verifier_id: str) -> Page[VersionObject]:
        return cast("Page[VersionObject]", self.get_json(f"/v1/verifiers/{verifier_id}/versions", limit=100))

    def create_verifier(self, *, name: str, grader: Json) -> VerifierObject:
        return cast("VerifierObject", self.call("POST", "/v1/verifiers", json={"name": name, "grader": grader}))

    def add_verifier_version(self, verifier_id: str, *, name: str, grader: Json) -> VerifierObject:
        path = f"/v1/verifiers/{verifier_id}/versions"
        return cast("VerifierObject", self.call("POST", path, json={"name": name, "grader": grader}))

    def validate_grader(self, grader: Json) -> ValidateResponse:
        """Validate a grader. An ApiError names the invalid field."""
        path = "/v1/fine_tuning/alpha/graders/validate"
        return cast("ValidateResponse", self.call("POST", path, json={"grader": grader}))

    def try_verifier(
        self, grader: Json, *, item: Json, answer: str | list[str] | None, output_text: str
    ) -> ScoreRecordObject:
        """Score one text in a worker's sandbox, by a verifier that need not be saved."""
        sample = {"item": item, "answer": answer, "output_text": output_text}
        body = {"grader": grader, "samples": [sample]}
        return cast("ScoreRecordObject", self.call("POST", "/v1/verifiers/test", json=body)["records"][0])

    def score_all(self, grader: Json, samples: list[Json]) -> list[ScoreRecordObject]:
        """Score each `{item, answer, output_text}`, in order, by a verifier that need not be saved."""
        body = {"grader": grader, "samples": samples}
        return cast("list[ScoreRecordObject]", self.call("POST", "/v1/verifiers/test", json=body)["records"])

    def sample_answers(self, model: str, prompt: Json, *, count: int, max_tokens: int) -> list[str]:
        """Sample answers of a model at temperature 1, as at the start of training. `prompt`: messages and tools."""
        body = {**prompt, "model": model, "n": count, "max_tokens": max_tokens, "temperature": 1.0}
        choices = self.call("POST", "/v1/chat/completions", json=body)["choices"]
        return [str(choice["message"]["content"] or "") for choice in choices]

    def instructions(self, grader: Json, *, file: str, examples: int) -> InstructionsObject:
        """Suggest instructions that ask for the form that a grader reads, with rows of a file as examples."""
        body = {"grader": grader, "training_file": file, "examples": examples}
        return cast("InstructionsObject", self.call("POST", "/v1/verifiers/instructions", json=body))

    def self_check(self, grader: Json, *, file: str, rows: int) -> CheckObject:
        """Start a self-check of a verifier on rows of a file. Poll the check for the result, a `SelfCheckResult`."""
        body = {"grader": grader, "file": file, "rows": rows}
        return cast("CheckObject", self.call("POST", "/v1/verifiers/check", json=body))
