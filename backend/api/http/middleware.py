"""Middleware around every request: its id, log line and unexpected errors, the limit of its body, its caller."""

import time
from traceback import format_exc

import structlog
from fastapi.exceptions import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.http.authentication import Caller, authenticate, bearer, unauthorised
from backend.api.http.errors import error_response, internal_error
from backend.api.http.operations import V1, operation_of
from backend.api.http.rate_limit import limit_rate
from backend.api.http.rights import Right
from backend.errors import AppError
from backend.ids import new_id

BODY_LIMIT_BYTES = 8 * 1024 * 1024
"""Limit of routes that are not `BodyUpTo` another one."""

log = structlog.get_logger()


class RequestIds:
    """Adds `x-request-id` to every response and log line; turns uncaught errors into a 500 without details."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = new_id("req")
        started = False
        begun = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _log_request(scope, message["status"], seconds=time.perf_counter() - begun)
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except Exception:
                # As text: a renderer that shows local variables would show users' data.
                log.error("request failed", method=scope["method"], path=scope["path"], traceback=format_exc())
                if started:
                    raise
                await error_response(internal_error())(scope, receive, send_with_id)


def _log_request(scope: Scope, status: int, *, seconds: float) -> None:
    """Log the request without its query, which may contain a search text."""
    operation = operation_of(scope)
    if operation is None or operation.is_logged:
        job = scope.get("path_params", {}).get("job_id")
        ids = {} if job is None else {"job": job}
        log.info("request", method=scope["method"], path=scope["path"], status=status, seconds=round(seconds, 4), **ids)


class BodyLimit:
    """Refuses a body that is too large: at once if its length is announced, else when the limit is exceeded."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = _limit_bytes(scope)
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        received = 0

        async def bounded_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, detail=_too_large(limit).message)
            return message

        await self.app(scope, bounded_receive, send)


def _limit_bytes(scope: Scope) -> int:
    operation = operation_of(scope)
    larger = None if operation is None else operation.body_limit_bytes
    return BODY_LIMIT_BYTES if larger is None else larger()


def _too_large(limit: int) -> AppError:
    return AppError(f"The body is larger than {limit} bytes.", status=413, code="body_too_large")


class Authentication:
    """Stores the caller in `request.state`: known, allowed and counted before the body is read or a response replayed.

    A path that does not exist requires a caller too, with any right, so that strangers learn nothing about it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            operation = operation_of(scope)
            right = None if operation is None else operation.right
            if right is not None or (operation is None and scope["path"].startswith(f"{V1}/")):
                request = Request(scope)
                credentials = await bearer(request)
                if credentials is None:
                    raise unauthorised(
                        "No API key was sent: send the header 'Authorization: Bearer YOUR_KEY'.", "missing_api_key"
                    )
                request.state.caller = await run_in_threadpool(_admit, credentials.credentials, right=right)
        await self.app(scope, receive, send)


def _admit(secret: str, *, right: Right | None) -> Caller:
    caller = authenticate(secret)
    if right is not None:
        right.require(caller)
    limit_rate(caller.id)
    return caller
