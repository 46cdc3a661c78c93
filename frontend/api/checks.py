"""`/v1/checks`: long-running work of the workers."""

from typing import Literal, NotRequired, TypedDict, cast

from frontend.api.http import Wire, segment
from frontend.api.types import CheckObject, CheckVerdict, Json


class ReadReference(TypedDict):
    """A reference as a grader (by its name in a `multi`) reads it: `read` is None if it cannot, `lost` left out."""

    grader: str
    reference: str
    read: str | None
    lost: str


class AlteredAnswer(TypedDict):
    """An altered right answer: the `text` that gave it, its score, and whether that is the full score."""

    row: int
    change: str
    label: str
    reference: str
    altered: str
    text: str
    score: float | None
    status: Literal["ok", "abstain", "error", "timeout"]
    full: bool


class SelfCheckResult(CheckVerdict):
    """The `result` of a check of the kind `self_check`. Results of earlier releases lack `readings` and `altered`."""

    full_marks: float
    probes: list[Json]
    rows: list[Json]
    readings: NotRequired[list[ReadReference]]
    altered: NotRequired[list[AlteredAnswer]]


class Checks(Wire):
    """Checks: progress and result by id."""

    def check(self, check_id: str) -> CheckObject:
        return cast("CheckObject", self.get_json(f"/v1/checks/{segment(check_id)}"))

    def cancel_check(self, check_id: str) -> CheckObject:
        """Cancel a check. ApiError 409 if it has ended."""
        return cast("CheckObject", self.call("POST", f"/v1/checks/{segment(check_id)}/cancel"))

    def checks(
        self, *, kind: str | None = None, job: str | None = None, file: str | None = None, limit: int = 1
    ) -> list[CheckObject]:
        """List checks, the newest first."""
        return cast(
            "list[CheckObject]", self.get_json("/v1/checks", kind=kind, job=job, file=file, limit=limit)["data"]
        )
