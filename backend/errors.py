"""The one error that crosses a border: what went wrong, where, and what to do, in one sentence.

The API turns it into OpenAI's error body (`{"error": {message, type, param, code}}`); the command line prints it.
"""


class AppError(Exception):
    """A refusal that its reader can act on.

    `message` is one sentence: what, where, what to do. `status` is the HTTP status; `param` names the offending
    field in the caller's own spelling; `code` is stable and may be matched by programs.
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


def not_found(kind: str, object_id: str) -> AppError:
    return AppError(f"No such {kind}: '{object_id}'.", status=404, code="not_found", param="id")
