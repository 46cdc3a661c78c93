"""What surrounds every request: its id, its largest body, and the last net under it."""

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
"""What a multipart body may have beside the file."""
UPLOAD_PATH = "/v1/files"
PROBES = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds; a line each would hide the others."""
PART_PATH = re.compile(r"/v1/uploads/[^/]+/parts")

log = structlog.get_logger()


class RequestIds:
    """`x-request-id` on every response and in every log line; what nobody caught becomes a 500 that tells nothing."""

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
                _tell(scope, message["status"], seconds=time.perf_counter() - begun)
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


def _tell(scope: Scope, status: int, *, seconds: float) -> None:
    """The path alone: a query may hold what somebody searched for."""
    if scope["path"] not in PROBES:
        job = scope.get("path_params", {}).get("job_id")
        ids = {} if job is None else {"job": job}
        log.info("request", method=scope["method"], path=scope["path"], status=status, seconds=round(seconds, 4), **ids)


class BodyLimit:
    """Refuses a body that is too large: at once where its length is announced, else where the limit is passed."""

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
