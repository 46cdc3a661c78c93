"""`/v1/checks`: long-running work of the workers."""

from typing import cast

from frontend.api.http import Wire, segment
from frontend.api.types import CheckObject


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
