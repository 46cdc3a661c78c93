"""The API's end of the line: hands a request to whichever server takes it, and gives out the pieces as they come."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from backend.chat.protocol import LAST, ChatRequest, Piece, PromptRead, RequestTaken, piece_from_json
from backend.chat.redis_keys import (
    ALIVE_S,
    BELL,
    CONNECT_S,
    SEEN_S,
    SERVERS,
    WAITING,
    answer_key,
    no_broker,
    place_in_line,
    redis_url,
    request_key,
)
from backend.errors import AppError
from backend.settings import settings

LOOK_S = 2.0
"""Seconds of silence after which it is looked whether the server is still there."""
PIECES = 100


class ChatClient:
    """All conversations of one API process. Connections are made with the first."""

    def __init__(self) -> None:
        self._redis: Redis | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        if self._redis is not None:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._redis.aclose()

    async def ask(self, asked: ChatRequest) -> AsyncGenerator[Piece]:
        """The pieces of the answer, to the last. Whoever stops listening withdraws the request.

        Raises AppError 503 where no server is there, or the one at work has gone.
        """
        breath: asyncio.Task[None] | None = None
        try:
            await self._hand_in(asked)
            breath = self._in_background(self._keep_alive(asked.id))
            async for piece in self._pieces(asked.id):
                yield piece
        except RedisError as error:
            raise no_broker() from error
        finally:
            if breath is not None:
                breath.cancel()
            # In a task of its own: what is cancelled cannot wait for the broker any more.
            self._in_background(self._withdraw(asked))

    async def _hand_in(self, asked: ChatRequest) -> None:
        await self._require_server(None)
        body = asked.to_json()
        async with self._broker.pipeline(transaction=True) as pipeline:
            pipeline.set(request_key(asked.id), body, px=int(ALIVE_S * 1000))
            pipeline.zadd(WAITING, {place_in_line(asked.id, asked.base): await self._now()})
            pipeline.publish(BELL, asked.id)
            await pipeline.execute()

    async def _pieces(self, request_id: str) -> AsyncIterator[Piece]:
        server: str | None = None
        deadline: float | None = time.monotonic() + settings().chat_wait_s
        while True:
            found = await self._broker.blmpop(LOOK_S, 1, answer_key(request_id), direction="LEFT", count=PIECES)
            if not found:
                await self._require_server(server)
            if deadline is not None and time.monotonic() > deadline:
                raise AppError(
                    f"No chat server came to this request within {settings().chat_wait_s:g} s: try again later.",
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
                if isinstance(piece, LAST):
                    return

    async def _require_server(self, taken_by: str | None) -> None:
        """Raises AppError where no server is there, or the one that has taken the request is not any more."""
        since = await self._now() - SEEN_S
        if taken_by is None:
            if await self._broker.zcount(SERVERS, since, "+inf"):
                return
            raise AppError(
                "No chat server is running, so no model can be asked: start one with `rlsd worker --queue chat`.",
                status=503,
                code="no_worker",
                type="server_error",
            )
        seen = await self._broker.zscore(SERVERS, taken_by)
        if seen is None or seen < since:
            raise AppError(
                "The chat server that worked on this request has gone: send it again.",
                status=503,
                code="server_lost",
                type="server_error",
            )

    async def _keep_alive(self, request_id: str) -> None:
        while True:
            await asyncio.sleep(ALIVE_S / 3)
            with suppress(RedisError):
                await self._broker.pexpire(request_key(request_id), int(ALIVE_S * 1000))

    async def _withdraw(self, asked: ChatRequest) -> None:
        with suppress(RedisError):
            await self._broker.zrem(WAITING, place_in_line(asked.id, asked.base))
            await self._broker.delete(request_key(asked.id), answer_key(asked.id))

    async def _now(self) -> float:
        """Unix seconds by the broker's clock, which all share."""
        seconds, microseconds = await self._broker.time()
        return float(seconds) + float(microseconds) / 1e6

    @property
    def _broker(self) -> Redis:
        if self._redis is None:
            self._redis = Redis.from_url(
                redis_url(settings().required_broker_url),
                socket_connect_timeout=CONNECT_S,
                socket_timeout=5 * LOOK_S,
                decode_responses=True,
            )
        return self._redis

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
