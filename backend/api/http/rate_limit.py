"""Rate limit per caller, counted in the broker and so shared by all API processes."""

from functools import lru_cache

import structlog
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from backend.errors import AppError
from backend.settings import settings

log = structlog.get_logger()


def limit_rate(caller_id: str) -> None:
    """Raise AppError 429 above RLSD_REQUESTS_PER_MINUTE. If the broker is unreachable, requests are allowed."""
    limit = RateLimitItemPerMinute(settings().requests_per_minute, namespace="rlsd")
    try:
        allowed = _limiter(settings().required_broker_url).hit(limit, caller_id)
    except StorageError as error:
        log.warning("rate limit not enforced: broker not reachable", error=str(error))
        return
    if not allowed:
        raise AppError(
            f"Rate limit of {settings().requests_per_minute} requests per minute exceeded: wait, then try again.",
            status=429,
            code="rate_limit_exceeded",
            type="rate_limit_error",
        )


@lru_cache(maxsize=1)
def _limiter(broker_url: str) -> SlidingWindowCounterRateLimiter:
    url = broker_url.replace("redis+socket://", "redis+unix://", 1)  # the spelling of `limits`
    return SlidingWindowCounterRateLimiter(storage_from_string(url, wrap_exceptions=True))
