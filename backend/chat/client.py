"""The API's side of the chat queue: enqueues a request and yields the pieces of its response as they arrive."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from backend.chat.protocol import FINAL_PIECES, ChatRequest, Piece, PromptRead, RequestTaken, piece_from_json
from backend.chat.redis_keys import (
    CONNECT_S,
    QUEUED,
    REQUEST_TTL_S,
    SERVER_TTL_S,
    SERVERS,
    WAKE_CHANNEL,
    answer_key,
    no_broker,
    queue_member,
    redis_url,
    request_key,
)
from backend.errors import AppError
from backend.settings import settings

POLL_S = 2.0
"""Seconds without a piece after which the server is checked for a heartbeat."""
MAX_PIECES = 100


class ChatClient:
    """Client of the chat servers, one per API process. Connects to the broker on the first request."""

    def __init__(self) -> None:
        self._redis: Redis | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        if self._redis is not None:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._redis.aclose()

    async def complete(self, request: ChatRequest) -> AsyncGenerator[Piece]:
        """Yield the pieces of the response. Closing the generator withdraws the request.

        Raises AppError 503 if no chat server is running, or the one that took the request has stopped.
        """
        keep_alive: asyncio.Task[None] | None = None
        try:
            await self._enqueue(request)
            keep_alive = self._in_background(self._keep_alive(request.id))
            async for piece in self._pieces(request.id):
                yield piece
        except RedisError as error:
            raise no_broker() from error
        finally:
            if keep_alive is not None:
                keep_alive.cancel()
            # In its own task: a cancelled one can no longer await the broker.
            self._in_background(self._withdraw(request))

    async def _enqueue(self, request: ChatRequest) -> None:
        await self._require_server(None)
        body = request.to_json()
        async with self._broker.pipeline(transaction=True) as pipeline:
            pipeline.set(request_key(request.id), body, px=int(REQUEST_TTL_S * 1000))
            pipeline.zadd(QUEUED, {queue_member(request.id, request.base): await self._now()})
            pipeline.publish(WAKE_CHANNEL, request.id)
            await pipeline.execute()

    async def _pieces(self, request_id: str) -> AsyncIterator[Piece]:
        server: str | None = None
        deadline: float | None = time.monotonic() + settings().chat_wait_s
        while True:
            found = await self._broker.blmpop(POLL_S, 1, answer_key(request_id), direction="LEFT", count=MAX_PIECES)
            if not found:
                await self._require_server(server)
            if deadline is not None and time.monotonic() > deadline:
                raise AppError(
                    f"No chat server started this request within {settings().chat_wait_s:g} s: try again later.",
                    status=503,
                    code="too_busy",
                    type="server_error",
                )
            for text in found[1] if found else ():
                piece = piece_from_json(str(text))
                match piece:
                    case RequestTaken(server):
                        pass
                    case PromptRead():
                        deadline = None
                yield piece
                if isinstance(piece, FINAL_PIECES):
                    return

    async def _require_server(self, taken_by: str | None) -> None:
        """Raise AppError if no server is running, or the one that took the request no longer is."""
        since = await self._now() - SERVER_TTL_S
        if taken_by is None:
            if await self._broker.zcount(SERVERS, since, "+inf"):
                return
            raise AppError(
                "No chat server is running: start one with `rlsd worker --queue chat`.",
                status=503,
                code="no_worker",
                type="server_error",
            )
        last_seen = await self._broker.zscore(SERVERS, taken_by)
        if last_seen is None or last_seen < since:
            raise AppError(
                "The chat server stopped while working on this request: send it again.",
                status=503,
                code="server_lost",
                type="server_error",
            )

    async def _keep_alive(self, request_id: str) -> None:
        while True:
            await asyncio.sleep(REQUEST_TTL_S / 3)
            with suppress(RedisError):
                await self._broker.pexpire(request_key(request_id), int(REQUEST_TTL_S * 1000))

    async def _withdraw(self, request: ChatRequest) -> None:
        with suppress(RedisError):
            await self._broker.zrem(QUEUED, queue_member(request.id, request.base))
            await self._broker.delete(request_key(request.id), answer_key(request.id))

    async def _now(self) -> float:
        """Return Unix seconds by the broker's clock, which all processes share."""
        seconds, microseconds = await self._broker.time()
        return float(seconds) + float(microseconds) / 1e6

    @property
    def _broker(self) -> Redis:
        if self._redis is None:
            self._redis = Redis.from_url(
                redis_url(settings().required_broker_url),
                socket_connect_timeout=CONNECT_S,
                socket_timeout=5 * POLL_S,
                decode_responses=True,
            )
        return self._redis

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
