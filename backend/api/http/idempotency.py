"""`Idempotency-Key` on POST: a request that the same caller repeats is answered from the stored response.

Same key and same body: the stored response. Another body: 422. Still being processed: 409. Stored for a day. Not
stored: errors that do not depend on the request (401, 403, 429, 5xx), errors before the body was read, responses with a
secret, and streams. If the process has died, the request is executed when it is repeated a minute later.
"""

import asyncio
import hashlib
from collections.abc import MutableMapping
from typing import Any

import structlog
from anyio import CapacityLimiter, to_thread
from python_multipart.multipart import parse_options_header
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.http.authentication import Caller
from backend.api.http.operations import Operation, operation_of
from backend.db import idempotency
from backend.db.engine import transaction
from backend.db.idempotency import Attempt, IdempotentRequest
from backend.errors import AppError

HEADER = "idempotency-key"
MAX_KEY = 255
MAX_RESPONSE_BYTES = 1024 * 1024
LEASE_RENEWAL_S = 20.0
TRANSIENT_STATUSES = {408, 409, 429}
"""Statuses that may differ on the next attempt."""

log = structlog.get_logger()


class Idempotency:
    """Middleware for every authenticated POST with an `Idempotency-Key`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" and scope["method"] == "POST" else Headers()
        key, caller = headers.get(HEADER), scope.get("state", {}).get("caller")
        if key is None or caller is None:
            await self.app(scope, receive, send)
            return
        _require_usable(key, operation=operation_of(scope))
        body = _BodyHash(headers)
        begun = await run_in_threadpool(_begin, _record_name(key, path=scope["path"], caller=caller))
        if isinstance(begun, Attempt):
            await self._execute(scope, body.reading(receive), send, attempt=begun, body=body)
        else:
            await (await _replay(begun, body, receive))(scope, receive, send)

    async def _execute(
        self, scope: Scope, receive: Receive, send: Send, *, attempt: Attempt, body: "_BodyHash"
    ) -> None:
        """Execute the request. The response is stored, or the attempt deleted, before its last message is sent."""
        response, settled = _RecordedResponse(), False

        async def recording_send(message: Message) -> None:
            nonlocal settled
            response.record(message)
            if response.ended:
                if response.is_storable and body.complete:
                    await run_in_threadpool(_store_response, attempt, body.hexdigest(), response)
                else:
                    await run_in_threadpool(_forget, attempt)
                settled = True
            await send(message)

        lease = asyncio.create_task(_keep_lease(attempt))
        try:
            await self.app(scope, receive, recording_send)
        finally:
            lease.cancel()
            if not settled:
                await run_in_threadpool(_forget, attempt)


class _BodyHash:
    """Incremental SHA-256 of a body, without the form boundary, which differs in every request.

    `complete` once all of the body has been read; from the start if there is none.
    """

    def __init__(self, headers: Headers) -> None:
        _, options = parse_options_header(headers.get("content-type"))
        self._boundary = options.get(b"boundary", b"")
        self._tail = b""
        self._hash = hashlib.sha256()
        self.complete = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers

    def reading(self, receive: Receive) -> Receive:
        async def hashed() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                self.update(message.get("body", b""))
                self.complete = not message.get("more_body", False)
            return message

        return hashed

    def update(self, piece: bytes) -> None:
        if not self._boundary:
            self._hash.update(piece)
            return
        data = (self._tail + piece).replace(self._boundary, b"")
        end = max(0, len(data) - len(self._boundary))  # the tail may be the start of a boundary
        self._hash.update(data[:end])
        self._tail = data[end:]

    def hexdigest(self) -> str:
        self._hash.update(self._tail)
        self._tail = b""
        return self._hash.hexdigest()


class _RecordedResponse:
    """A copy of a response as it is sent; the body is kept only if it is short JSON."""

    def __init__(self) -> None:
        self.status = 0
        self.ended = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._json = False

    def record(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            content_type = Headers(raw=message["headers"]).get("content-type", "")
            self._json = content_type.startswith("application/json")
        elif message["type"] == "http.response.body":
            self._size += len(message.get("body", b""))
            if self._json and self._size <= MAX_RESPONSE_BYTES:
                self._pieces.append(message.get("body", b""))
            self.ended = not message.get("more_body", False)

    @property
    def text(self) -> str:
        return b"".join(self._pieces).decode()

    @property
    def is_storable(self) -> bool:
        final = 200 <= self.status < 500 and self.status not in TRANSIENT_STATUSES
        return final and self._json and self.ended and self._size <= MAX_RESPONSE_BYTES


def _require_usable(key: str, *, operation: Operation | None) -> None:
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable() or not key.isascii():
        raise AppError(
            f"Idempotency-Key must have 1 to {MAX_KEY} printable ASCII characters.", code="invalid_value", param=HEADER
        )
    if operation is not None and operation.shows_secret:
        raise AppError(
            "Idempotency-Key is not supported here: the response contains a secret, which is not stored.",
            code="invalid_value",
            param=HEADER,
        )


def _record_name(key: str, *, path: str, caller: Caller) -> str:
    return hashlib.sha256("\n".join((caller.project, caller.id, path, key)).encode()).hexdigest()


async def _replay(earlier: IdempotentRequest, body: _BodyHash, receive: Receive) -> Response:
    if earlier.status is None:
        raise AppError(
            "A request with this Idempotency-Key is still being processed: wait for its response.",
            status=409,
            code="idempotency_key_in_use",
            param=HEADER,
            type="conflict_error",
        )
    reading = body.reading(receive)
    message: MutableMapping[str, Any] = {"more_body": True}
    while message.get("more_body", False):
        message = await reading()
    if body.hexdigest() != earlier.body_sha256:
        raise AppError(
            "This Idempotency-Key was used with a different body: send a new key with a new request.",
            status=422,
            code="idempotency_key_reused",
            param=HEADER,
        )
    return Response(
        earlier.answer,
        status_code=earlier.status,
        media_type="application/json",
        headers={"idempotent-replayed": "true"},
    )


async def _keep_lease(attempt: Attempt) -> None:
    """Extend the lease while the request is processed, on an extra thread: those of the pool may all be waiting."""
    while True:
        await asyncio.sleep(LEASE_RENEWAL_S)
        try:
            await to_thread.run_sync(_extend, attempt, limiter=CapacityLimiter(1))
        except SQLAlchemyError as error:
            log.warning("request lease not extended", error=str(error))


def _begin(name: str) -> Attempt | IdempotentRequest:
    with transaction() as session:
        return idempotency.begin(session, name)


def _extend(attempt: Attempt) -> None:
    with transaction() as session:
        idempotency.extend_lease(session, attempt)


def _store_response(attempt: Attempt, body_sha256: str, response: _RecordedResponse) -> None:
    with transaction() as session:
        idempotency.store_response(
            session, attempt, body_sha256=body_sha256, status=response.status, answer=response.text
        )


def _forget(attempt: Attempt) -> None:
    with transaction() as session:
        idempotency.forget(session, attempt)
