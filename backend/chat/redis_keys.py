"""The Redis keys shared by API and chat servers, and the connection to the broker.

Queued requests are in one sorted set, by time of arrival. The body of each has its own key, whose TTL the API process
extends while its client is connected, so an abandoned request expires. A server takes a request by removing it from the
set, and appends the pieces of the response to a list that the API process pops. `WAKE_CHANNEL` wakes idle servers.
"""

from urllib.parse import parse_qs, urlsplit

from redis import Redis

from backend.errors import AppError

QUEUE = "chat"
"""The queue name under which a chat server is listed among workers."""

QUEUED = "rlsd:chat:waiting"
SERVERS = "rlsd:chat:servers"
WAKE_CHANNEL = "rlsd:chat:wake"

REQUEST_TTL_S = 15.0
"""Lifetime of a request that its client no longer extends."""
SERVER_TTL_S = 10.0
"""A server without a heartbeat for longer counts as stopped."""
ANSWER_TTL_S = 120
"""Lifetime of pieces that are not fetched."""
CONNECT_S = 3.0
MAX_SCANNED = 256
"""Requests read from the queue at once, the oldest first."""


def request_key(request_id: str) -> str:
    return f"rlsd:chat:request:{request_id}"


def answer_key(request_id: str) -> str:
    return f"rlsd:chat:answer:{request_id}"


def queue_member(request_id: str, base: str) -> str:
    """Return the member of the sorted set for a queued request."""
    return f"{request_id} {base}"


def redis_url(broker_url: str) -> str:
    """Return the broker's URL for redis-py: Celery writes unix sockets as `redis+socket:///path`."""
    if not broker_url.startswith("redis+socket://"):
        return broker_url
    parts = urlsplit(broker_url)
    number = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    return f"unix://{parts.path}?db={number}"


def queue_depth(broker_url: str) -> tuple[int, float]:
    """Return the number of queued requests and the age of the oldest in seconds. Raises RedisError.

    Abandoned requests among the oldest `MAX_SCANNED` are not counted.
    """
    with Redis.from_url(redis_url(broker_url), socket_connect_timeout=CONNECT_S, socket_timeout=CONNECT_S) as broker:
        with broker.pipeline() as pipeline:
            pipeline.time().zcard(QUEUED).zrange(QUEUED, 0, MAX_SCANNED - 1, withscores=True)
            (seconds, microseconds), count, oldest = pipeline.execute()
        with broker.pipeline(transaction=False) as pipeline:
            for member, _ in oldest:
                pipeline.exists(request_key(member.decode().partition(" ")[0]))
            exists = pipeline.execute()
    ages = [seconds + microseconds / 1e6 - since for (_, since), alive in zip(oldest, exists, strict=True) if alive]
    return count - exists.count(0), max(ages, default=0.0)


def no_broker() -> AppError:
    return AppError(
        "The message broker is not reachable: try again.", status=503, code="no_broker", type="server_error"
    )
