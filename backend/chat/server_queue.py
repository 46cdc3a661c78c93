"""A chat server's end of the line: sees who waits, takes requests, and says the pieces of their answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from redis import Redis

from backend.chat.protocol import ChatRequest, Piece, piece_to_json
from backend.chat.redis_keys import (
    ANSWER_S,
    BELL,
    CONNECT_S,
    LOOKED_AT,
    SERVERS,
    WAITING,
    answer_key,
    place_in_line,
    redis_url,
    request_key,
)

FORGOTTEN_S = 3600
REPLY_S = 10.0


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request that nobody has taken."""

    id: str
    base: str
    age_s: float


class RequestQueue:
    """One server, under a name of its own. Raises redis' errors where the broker does not answer."""

    def __init__(self, *, broker_url: str, name: str) -> None:
        self.name = name
        self._redis = Redis.from_url(
            redis_url(broker_url), socket_connect_timeout=CONNECT_S, socket_timeout=REPLY_S, decode_responses=True
        )
        self._bell = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._bell.subscribe(BELL)

    def is_here(self) -> None:
        """To be said more often than every `SEEN_S` seconds."""
        now = self._now()
        self._redis.zadd(SERVERS, {self.name: now})
        self._redis.zremrangebyscore(SERVERS, "-inf", now - FORGOTTEN_S)

    def is_gone(self) -> None:
        self._redis.zrem(SERVERS, self.name)

    def waiting(self) -> list[QueuedRequest]:
        """Who has waited longest comes first."""
        found: list[tuple[str, float]] = self._redis.zrange(WAITING, 0, LOOKED_AT - 1, withscores=True)  # type: ignore[assignment]
        if not found:
            return []
        now = self._now()
        parts = ((*member.partition(" "), since) for member, since in found)
        return [QueuedRequest(request_id, base, now - since) for request_id, _, base, since in parts]

    def take(self, waiting: QueuedRequest) -> ChatRequest | None:
        """The request, which is this server's from now on; None where another took it or its caller has gone."""
        if not self._redis.zrem(WAITING, place_in_line(waiting.id, waiting.base)):
            return None
        body = self._redis.get(request_key(waiting.id))
        return None if body is None else ChatRequest.from_json(str(body))

    def say(self, pieces: Mapping[str, Sequence[Piece]]) -> None:
        """To the callers, by request."""
        if not any(pieces.values()):
            return
        with self._redis.pipeline(transaction=False) as pipeline:
            for request_id, said in pieces.items():
                if said:
                    pipeline.rpush(answer_key(request_id), *map(piece_to_json, said))
                    pipeline.expire(answer_key(request_id), ANSWER_S)
            pipeline.execute()

    def left(self, request_ids: Iterable[str]) -> set[str]:
        """Those of the requests whose callers have gone."""
        asked = list(request_ids)
        if not asked:
            return set()
        with self._redis.pipeline(transaction=False) as pipeline:
            for request_id in asked:
                pipeline.exists(request_key(request_id))
            there = pipeline.execute()
        return {request_id for request_id, exists in zip(asked, there, strict=True) if not exists}

    def wait(self, timeout_s: float) -> None:
        """Until the bell rings."""
        self._bell.get_message(timeout=timeout_s)

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6
