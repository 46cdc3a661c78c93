"""The names of what lies in the broker between API and chat servers, and how the broker is reached.

A request waits in one sorted set, in the order in which requests came; its body is a key of its own that its caller
keeps alive, so a caller that has gone takes the request along. A server takes what it removes from the set. The pieces
of the answer go to a list that its caller empties. The bell wakes servers that have nothing to do.
"""

from urllib.parse import parse_qs, urlsplit

from redis import Redis

from backend.errors import AppError

QUEUE = "chat"
"""How a chat server is called among workers."""

WAITING = "rlsd:chat:waiting"
SERVERS = "rlsd:chat:servers"
BELL = "rlsd:chat:bell"

ALIVE_S = 15.0
"""A request whose caller has been silent for longer is nobody's."""
SEEN_S = 10.0
"""A server that has been silent for longer is not there."""
ANSWER_S = 120
"""Pieces that nobody fetches are kept for so long."""
CONNECT_S = 3.0
LOOKED_AT = 256
"""Most requests looked at: those that have waited longest."""


def request_key(request_id: str) -> str:
    return f"rlsd:chat:request:{request_id}"


def answer_key(request_id: str) -> str:
    return f"rlsd:chat:answer:{request_id}"


def place_in_line(request_id: str, base: str) -> str:
    """What stands in the set of those that wait."""
    return f"{request_id} {base}"


def redis_url(broker_url: str) -> str:
    """The broker's URL as redis-py takes it: Celery writes unix sockets as `redis+socket:///path`."""
    if not broker_url.startswith("redis+socket://"):
        return broker_url
    parts = urlsplit(broker_url)
    number = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    return f"unix://{parts.path}?db={number}"


def waiting_requests(broker_url: str) -> tuple[int, float]:
    """How many requests no server has taken, and seconds that the oldest has waited. Raises RedisError.

    Those whose callers have gone do not count; it is looked at the oldest `LOOKED_AT` for that.
    """
    with Redis.from_url(redis_url(broker_url), socket_connect_timeout=CONNECT_S, socket_timeout=CONNECT_S) as broker:
        with broker.pipeline() as pipeline:
            pipeline.time().zcard(WAITING).zrange(WAITING, 0, LOOKED_AT - 1, withscores=True)
            (seconds, microseconds), count, oldest = pipeline.execute()
        with broker.pipeline(transaction=False) as pipeline:
            for member, _ in oldest:
                pipeline.exists(request_key(member.decode().partition(" ")[0]))
            there = pipeline.execute()
    waited = [seconds + microseconds / 1e6 - since for (_, since), alive in zip(oldest, there, strict=True) if alive]
    return count - there.count(0), max(waited, default=0.0)


def no_broker() -> AppError:
    return AppError("The broker does not answer; try again.", status=503, code="no_broker", type="server_error")
