"""Middleware around every request: its id and log line, the body limit, and the handler of unexpected errors."""

import re
import time
from collections.abc import MutableMapping
from traceback import format_exc
from typing import Any

import structlog
from fastapi.exceptions import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.http.errors import error_response, internal_error
from backend.datasets.reading.uploads import MAX_PART_BYTES
from backend.errors import AppError
from backend.ids import new_id
from backend.settings import settings

JSON_LIMIT_BYTES = 8 * 1024 * 1024
FORM_EXTRA_BYTES = 64 * 1024
"""Size of a multipart body besides the file."""
UPLOAD_PATH = "/v1/files"
PROBES = ("/healthz", "/readyz", "/metrics")
"""Requested every few seconds; logging them would hide other requests."""
PART_PATH = re.compile(r"/v1/uploads/[^/]+/parts")

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
    if scope["path"] not in PROBES:
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


def _limit_bytes(scope: MutableMapping[str, Any]) -> int:
    if scope["method"] == "POST" and scope["path"] == UPLOAD_PATH:
        return settings().max_upload_bytes + FORM_EXTRA_BYTES
    if scope["method"] == "POST" and PART_PATH.fullmatch(scope["path"]):
        return MAX_PART_BYTES + FORM_EXTRA_BYTES
    return JSON_LIMIT_BYTES


def _too_large(limit: int) -> AppError:
    return AppError(f"The body is larger than {limit} bytes.", status=413, code="body_too_large")
