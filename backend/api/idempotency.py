"""`Idempotency-Key` on POST: a request that is sent again is answered again, not done again.

Same key and same body: the stored answer. Another body: 422. Still at work: 409. Kept for a day. Refusals that say
nothing of the request itself (401, 403, 429, 5xx) are not kept, nor answers that show a secret or never end.
"""

import hashlib
from collections.abc import MutableMapping
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.errors import error_response
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.idempotency import KEPT, IdempotentRequest
from backend.errors import AppError

HEADER = "idempotency-key"
MAX_KEY = 255
MAX_ANSWER_BYTES = 1024 * 1024
PASSING = {401, 403, 408, 409, 429}
"""Answers that may be another one the next time."""
SHOWS_SECRETS = ("/v1/keys", "/v1/webhooks", "/v1/projects")


class Idempotency:
    """Around every POST that names a key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" and scope["method"] == "POST" else Headers()
        key = headers.get(HEADER)
        if key is None:
            await self.app(scope, receive, send)
            return
        problem = _unusable(key, path=scope["path"])
        if problem is not None:
            await error_response(problem)(scope, receive, send)
            return
        name = _name(key, path=scope["path"], credentials=headers.get("authorization", ""))
        body = _BodyHash(headers.get("content-type", ""))
        earlier = await run_in_threadpool(_begin, name)
        if earlier is not None:
            await (await _again(earlier, body, receive))(scope, receive, send)
            return
        await self._first(scope, body.reading(receive), send, name=name, body=body)

    async def _first(self, scope: Scope, receive: Receive, send: Send, *, name: str, body: "_BodyHash") -> None:
        """Do it; the answer is kept before its end is sent, so that whoever has heard it can ask again."""
        answer, kept = _Answer(), False

        async def seen(message: Message) -> None:
            nonlocal kept
            answer.see(message)
            if answer.can_be_kept:
                await run_in_threadpool(_end, name, body.hexdigest(), answer.status, answer.text)
                kept = True
            await send(message)

        try:
            await self.app(scope, receive, seen)
        finally:
            if not kept:
                await run_in_threadpool(_forget, name)


class _BodyHash:
    """SHA-256 of a body as it passes, without the boundary of a form, which every client draws anew."""

    def __init__(self, content_type: str) -> None:
        _, _, boundary = content_type.partition("boundary=")
        self._boundary = boundary.strip('"').encode()
        self._kept = b""
        self._hash = hashlib.sha256()

    def reading(self, receive: Receive) -> Receive:
        async def hashed() -> Message:
            message = await receive()
            self.update(message.get("body", b""))
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
        self._pieces: list[bytes] = []
        self._size = 0
        self._json = self._ended = False

    def see(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            content_type = Headers(raw=message["headers"]).get("content-type", "")
            self._json = content_type.startswith("application/json")
        elif message["type"] == "http.response.body":
            self._size += len(message.get("body", b""))
            if self._json and self._size <= MAX_ANSWER_BYTES:
                self._pieces.append(message.get("body", b""))
            self._ended = not message.get("more_body", False)

    @property
    def text(self) -> str:
        return b"".join(self._pieces).decode()

    @property
    def can_be_kept(self) -> bool:
        lasting = 200 <= self.status < 500 and self.status not in PASSING
        return lasting and self._json and self._ended and self._size <= MAX_ANSWER_BYTES


def _unusable(key: str, *, path: str) -> AppError | None:
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable() or not key.isascii():
        return AppError(
            f"Idempotency-Key must have 1 to {MAX_KEY} printable ASCII characters.", code="invalid_value", param=HEADER
        )
    if path.startswith(SHOWS_SECRETS):
        return AppError(
            "Idempotency-Key is not supported here: the answer shows a secret, which is not kept.",
            code="invalid_value",
            param=HEADER,
        )
    return None


def _name(key: str, *, path: str, credentials: str) -> str:
    return hashlib.sha256("\n".join((credentials, path, key)).encode()).hexdigest()


async def _again(earlier: IdempotentRequest, body: _BodyHash, receive: Receive) -> Response:
    if earlier.status is None:
        return error_response(
            AppError(
                "A request with this Idempotency-Key is still at work: wait for its answer.",
                status=409,
                code="idempotency_key_in_use",
                param=HEADER,
                type="conflict_error",
            )
        )
    message: MutableMapping[str, Any] = {"more_body": True}
    while message.get("more_body", False):
        message = await receive()
        body.update(message.get("body", b""))
    if body.hexdigest() != earlier.body_sha256:
        return error_response(
            AppError(
                "This Idempotency-Key was used with another body: send a new key with a new request.",
                status=422,
                code="idempotency_key_reused",
                param=HEADER,
            )
        )
    return Response(
        earlier.answer,
        status_code=earlier.status,
        media_type="application/json",
        headers={"idempotent-replayed": "true"},
    )


def _begin(name: str) -> IdempotentRequest | None:
    """None where this request is the first; else the earlier one."""
    with transaction() as session:
        forget_one = delete(IdempotentRequest).where(
            IdempotentRequest.id == name, IdempotentRequest.created_at < utc_now() - KEPT
        )
        session.execute(forget_one)
        added = session.scalar(
            insert(IdempotentRequest)
            .values(id=name, created_at=utc_now())
            .on_conflict_do_nothing()
            .returning(IdempotentRequest.id)
        )
        return None if added else session.get(IdempotentRequest, name)


def _end(name: str, body_sha256: str, status: int, answer: str) -> None:
    with transaction() as session:
        request = session.get(IdempotentRequest, name)
        if request is not None:
            request.body_sha256, request.status, request.answer = body_sha256, status, answer


def _forget(name: str) -> None:
    with transaction() as session:
        session.execute(delete(IdempotentRequest).where(IdempotentRequest.id == name))
