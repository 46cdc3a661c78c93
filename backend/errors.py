"""The error type for failures that are reported to the user.

The API returns it as OpenAI's error body (`{"error": {message, type, param, code}}`); the command line prints it.
"""

from collections.abc import Mapping
from typing import Any


class AppError(Exception):
    """An error that its reader can act on.

    `message` is one sentence: what happened, where, what to do. `status` is the HTTP status; `param` names the
    offending field as the caller spells it; `code` is stable and may be matched by programs.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.type = type


def in_words(problem: Mapping[str, Any]) -> str:
    """Return what pydantic says of a problem, without a full stop, and with plain words for an empty text."""
    if problem["type"] == "string_too_short" and not problem["input"]:
        return "must not be empty"
    message: str = problem["msg"]
    return message.removeprefix("Value error, ").rstrip(".")


def not_found(kind: str, object_id: str) -> AppError:
    return AppError(f"No such {kind}: '{object_id}'.", status=404, code="not_found", param="id")
