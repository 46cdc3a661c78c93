"""`Idempotency-Key` on POST: a request that is sent again by the same caller is answered again, not done again.

Same key and same body: the stored answer. Another body: 422. Still at work: 409. Kept for a day. Refusals that say
nothing of the request itself (401, 403, 429, 5xx) are not kept, nor those given before the body was read, nor answers
that show a secret or never end. A request whose process has died is done when it is sent again a minute later.
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
from backend.db import idempotency
from backend.db.engine import transaction
from backend.db.idempotency import Attempt, IdempotentRequest
from backend.errors import AppError

HEADER = "idempotency-key"
MAX_KEY = 255
MAX_ANSWER_BYTES = 1024 * 1024
EXTENDED_EVERY_S = 20.0
PASSING = {408, 409, 429}
"""Answers that may be another one the next time."""
SHOWS_SECRETS = ("/v1/keys", "/v1/webhooks", "/v1/projects")

log = structlog.get_logger()


class Idempotency:
    """Around every POST of a known caller that names a key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" and scope["method"] == "POST" else Headers()
        key, who = headers.get(HEADER), scope.get("state", {}).get("caller")
        if key is None or who is None:
            await self.app(scope, receive, send)
            return
        _require_usable(key, path=scope["path"])
        body = _BodyHash(headers)
        begun = await run_in_threadpool(_begin, _name(key, path=scope["path"], who=who))
        if isinstance(begun, Attempt):
            await self._first(scope, body.reading(receive), send, attempt=begun, body=body)
        else:
            await (await _again(begun, body, receive))(scope, receive, send)

    async def _first(self, scope: Scope, receive: Receive, send: Send, *, attempt: Attempt, body: "_BodyHash") -> None:
        """Do it; before the end of the answer is sent it is kept, or forgotten: whoever has heard it can ask again."""
        answer, settled = _Answer(), False

        async def seen(message: Message) -> None:
            nonlocal settled
            answer.see(message)
            if answer.ended:
                if answer.can_be_kept and body.whole:
                    await run_in_threadpool(_keep, attempt, body.hexdigest(), answer)
                else:
                    await run_in_threadpool(_forget, attempt)
                settled = True
            await send(message)

        lease = asyncio.create_task(_hold(attempt))
        try:
            await self.app(scope, receive, seen)
        finally:
            lease.cancel()
            if not settled:
                await run_in_threadpool(_forget, attempt)


class _BodyHash:
    """SHA-256 of a body as it passes, without the boundary of a form, which every client draws anew.

    `whole` once all of it has passed, which for no body at all is from the beginning.
    """

    def __init__(self, headers: Headers) -> None:
        _, options = parse_options_header(headers.get("content-type"))
        self._boundary = options.get(b"boundary", b"")
        self._kept = b""
        self._hash = hashlib.sha256()
        self.whole = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers

    def reading(self, receive: Receive) -> Receive:
        async def hashed() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                self.update(message.get("body", b""))
                self.whole = not message.get("more_body", False)
            return message

        return hashed

    def update(self, piece: bytes) -> None:
        if not self._boundary:
            self._hash.update(piece)
            return
        whole = (self._kept + piece).replace(self._boundary, b"")
        cut = max(0, len(whole) - len(self._boundary))  # the end may hold the beginning of a boundary
        self._hash.update(whole[:cut])
        self._kept = whole[cut:]

    def hexdigest(self) -> str:
        self._hash.update(self._kept)
        self._kept = b""
        return self._hash.hexdigest()


class _Answer:
    """What passes to the caller, kept as long as it is short and ends."""

    def __init__(self) -> None:
        self.status = 0
        self.ended = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._json = False

    def see(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            content_type = Headers(raw=message["headers"]).get("content-type", "")
            self._json = content_type.startswith("application/json")
        elif message["type"] == "http.response.body":
            self._size += len(message.get("body", b""))
            if self._json and self._size <= MAX_ANSWER_BYTES:
                self._pieces.append(message.get("body", b""))
            self.ended = not message.get("more_body", False)

    @property
    def text(self) -> str:
        return b"".join(self._pieces).decode()

    @property
    def can_be_kept(self) -> bool:
        lasting = 200 <= self.status < 500 and self.status not in PASSING
        return lasting and self._json and self.ended and self._size <= MAX_ANSWER_BYTES


def _require_usable(key: str, *, path: str) -> None:
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable() or not key.isascii():
        raise AppError(
            f"Idempotency-Key must have 1 to {MAX_KEY} printable ASCII characters.", code="invalid_value", param=HEADER
        )
    if path.startswith(SHOWS_SECRETS):
        raise AppError(
            "Idempotency-Key is not supported here: the answer shows a secret, which is not kept.",
            code="invalid_value",
            param=HEADER,
        )


def _name(key: str, *, path: str, who: Caller) -> str:
    return hashlib.sha256("\n".join((who.project, who.id, path, key)).encode()).hexdigest()


async def _again(earlier: IdempotentRequest, body: _BodyHash, receive: Receive) -> Response:
    if earlier.status is None:
        raise AppError(
            "A request with this Idempotency-Key is still at work: wait for its answer.",
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
            "This Idempotency-Key was used with another body: send a new key with a new request.",
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


async def _hold(attempt: Attempt) -> None:
    """Extends the lease as long as the request takes, by a thread beyond the usual number: those may all be waiting."""
    while True:
        await asyncio.sleep(EXTENDED_EVERY_S)
        try:
            await to_thread.run_sync(_extend, attempt, limiter=CapacityLimiter(1))
        except SQLAlchemyError as error:
            log.warning("the lease of a request was not extended", error=str(error))


def _begin(name: str) -> Attempt | IdempotentRequest:
    with transaction() as session:
        return idempotency.begin(session, name)


def _extend(attempt: Attempt) -> None:
    with transaction() as session:
        idempotency.extend_lease(session, attempt)


def _keep(attempt: Attempt, body_sha256: str, answer: _Answer) -> None:
    with transaction() as session:
        idempotency.keep_answer(session, attempt, body_sha256=body_sha256, status=answer.status, answer=answer.text)


def _forget(attempt: Attempt) -> None:
    with transaction() as session:
        idempotency.forget(session, attempt)
