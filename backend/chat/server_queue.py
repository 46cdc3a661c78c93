"""A chat server's side of the queue: lists and takes queued requests, and sends the pieces of their responses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from redis import Redis

from backend.chat.protocol import ChatRequest, Piece, piece_to_json
from backend.chat.redis_keys import (
    ANSWER_TTL_S,
    CONNECT_S,
    MAX_SCANNED,
    QUEUED,
    SERVERS,
    WAKE_CHANNEL,
    answer_key,
    queue_member,
    redis_url,
    request_key,
)

FORGOTTEN_S = 3600
REPLY_S = 10.0


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request that no server has taken."""

    id: str
    base: str
    age_s: float


class RequestQueue:
    """The request queue as one server sees it, under a unique name. Raises RedisError if the broker is unreachable."""

    def __init__(self, *, broker_url: str, name: str) -> None:
        self.name = name
        self._redis = Redis.from_url(
            redis_url(broker_url), socket_connect_timeout=CONNECT_S, socket_timeout=REPLY_S, decode_responses=True
        )
        self._wake = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._wake.subscribe(WAKE_CHANNEL)

    def heartbeat(self) -> None:
        """Record that this server is running. Must be called more often than every `SERVER_TTL_S` seconds."""
        now = self._now()
        self._redis.zadd(SERVERS, {self.name: now})
        self._redis.zremrangebyscore(SERVERS, "-inf", now - FORGOTTEN_S)

    def deregister(self) -> None:
        self._redis.zrem(SERVERS, self.name)

    def queued(self) -> list[QueuedRequest]:
        """Return the queued requests, the oldest first."""
        members: list[tuple[str, float]] = self._redis.zrange(QUEUED, 0, MAX_SCANNED - 1, withscores=True)  # type: ignore[assignment]
        if not members:
            return []
        now = self._now()
        parts = ((*member.partition(" "), since) for member, since in members)
        return [QueuedRequest(request_id, base, now - since) for request_id, _, base, since in parts]

    def take(self, queued: QueuedRequest) -> ChatRequest | None:
        """Claim a request for this server. None if another server took it or it was abandoned."""
        if not self._redis.zrem(QUEUED, queue_member(queued.id, queued.base)):
            return None
        body = self._redis.get(request_key(queued.id))
        return None if body is None else ChatRequest.from_json(str(body))

    def send(self, pieces: Mapping[str, Sequence[Piece]]) -> None:
        """Send new pieces, by request id."""
        if not any(pieces.values()):
            return
        with self._redis.pipeline(transaction=False) as pipeline:
            for request_id, new in pieces.items():
                if new:
                    pipeline.rpush(answer_key(request_id), *map(piece_to_json, new))
                    pipeline.expire(answer_key(request_id), ANSWER_TTL_S)
            pipeline.execute()

    def abandoned(self, request_ids: Iterable[str]) -> set[str]:
        """Return those of the requests whose clients have disconnected."""
        ids = list(request_ids)
        if not ids:
            return set()
        with self._redis.pipeline(transaction=False) as pipeline:
            for request_id in ids:
                pipeline.exists(request_key(request_id))
            found = pipeline.execute()
        return {request_id for request_id, exists in zip(ids, found, strict=True) if not exists}

    def wait(self, timeout_s: float) -> None:
        """Wait until a request is queued, or `timeout_s` has passed."""
        self._wake.get_message(timeout=timeout_s)

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6
