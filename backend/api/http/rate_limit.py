"""How often one caller may ask, counted in the broker, so that several API processes count together."""

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
    """Raises AppError 429 above RLSD_REQUESTS_PER_MINUTE. Where the broker does not answer, nobody is refused."""
    limit = RateLimitItemPerMinute(settings().requests_per_minute, namespace="rlsd")
    try:
        allowed = _limiter().hit(limit, caller_id)
    except StorageError as error:
        log.warning("requests are not counted: the broker does not answer", error=str(error))
        return
    if not allowed:
        raise AppError(
            f"More than {settings().requests_per_minute} requests a minute: wait, then try again.",
            status=429,
            code="rate_limit_exceeded",
            type="rate_limit_error",
        )


@lru_cache(maxsize=1)
def _limiter() -> SlidingWindowCounterRateLimiter:
    url = settings().required_broker_url.replace("redis+socket://", "redis+unix://", 1)  # Celery's word, limits' word
    return SlidingWindowCounterRateLimiter(storage_from_string(url, wrap_exceptions=True))
