"""Webhooks about the end of jobs. Source: Standard Webhooks 1.0 (headers, signature, retries).

A delivery is stored in the transaction that ends the job; a worker sends it, and retries at growing intervals.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
import structlog
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from backend import outbound
from backend.db.base import unix_s, utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.webhooks import DeliveryStatus, Webhook, WebhookDelivery, webhooks_of
from backend.errors import AppError
from backend.ids import new_id
from backend.queue import CHECK_QUEUE, WEBHOOK_TASK, queue_length, send_after_commit
from backend.settings import settings

SECRET_PREFIX = "whsec_"  # noqa: S105  (the specification's prefix)
RETRIES_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds from each attempt to the next; after the last, the delivery has failed."""
TIMEOUT_S = 15.0
"""Timeout of an attempt."""
ATTEMPT_LEASE = timedelta(seconds=4 * TIMEOUT_S)
"""How long an attempt may take before its worker counts as lost."""
LATE = timedelta(seconds=30)
"""How long a delivery waits before its message may count as lost."""
KEPT = timedelta(days=30)
NUDGE_LOCK = 7_215_004
"""Number of the advisory lock under which one sweep at a time sends messages."""
log = structlog.get_logger()


def new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, *, delivery_id: str, timestamp: int, body: str) -> str:
    """Return `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{delivery_id}.{timestamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def require_url(url: str) -> None:
    """Raise AppError unless it is an HTTP URL without a password. `outbound` checks the host when it sends."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or "\\" in url:
        raise AppError(
            "The address must begin with https:// or http:// and must not contain a user name or password.",
            code="invalid_url",
            param="url",
        )


def create(session: Session, *, url: str, events: Sequence[str], project: str) -> Webhook:
    """Store a webhook of the project, with a new secret. Raises AppError for an unusable address."""
    require_url(url)
    hook = Webhook(
        id=new_id("hook"), url=url, events=list(events), secret=new_secret(), created_at=utc_now(), project_id=project
    )
    session.add(hook)
    session.flush()
    return hook


def announce(session: Session, job: Job) -> None:
    """Store a delivery for each webhook of the job's project that is subscribed to this end state."""
    kind = f"fine_tuning.job.{job.state}"
    for hook in session.scalars(webhooks_of(job.project_id).statement).all():
        if kind in hook.events:
            deliver_to(session, hook, kind=kind, object_id=job.id)


def deliver_to(session: Session, hook: Webhook, *, kind: str, object_id: str) -> WebhookDelivery:
    """Store one delivery and nudge a worker after the commit."""
    now = utc_now()
    event_id = new_id("evt")
    delivery = WebhookDelivery(
        id=event_id,
        webhook_id=hook.id,
        payload={"id": event_id, "object": "event", "type": kind, "created_at": unix_s(now), "data": {"id": object_id}},
        status=DeliveryStatus.PENDING,
        attempts=0,
        next_at=now,
        nudged_at=now,
        created_at=now,
    )
    session.add(delivery)
    session.flush()
    send_after_commit(session, WEBHOOK_TASK, delivery.id, queue=CHECK_QUEUE)
    return delivery


def nudge_due(session: Session) -> None:
    """Send a message to workers for each due delivery, one per attempt; delete old deliveries.

    If the queue is empty, messages may have been lost: then late deliveries get another one.
    """
    if not session.scalar(select(func.pg_try_advisory_xact_lock(NUDGE_LOCK))):
        return
    now = utc_now()
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.created_at < now - KEPT))
    unsent, lost = WebhookDelivery.nudged_at.is_(None), WebhookDelivery.nudged_at < now - LATE
    needs_message = or_(unsent, lost) if queue_length(CHECK_QUEUE) == 0 else unsent
    due = session.scalars(
        update(WebhookDelivery)
        .where(WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.next_at <= now, needs_message)
        .values(nudged_at=now)
        .returning(WebhookDelivery.id)
    )
    for delivery_id in due.all():
        send_after_commit(session, WEBHOOK_TASK, delivery_id, queue=CHECK_QUEUE)


def deliver(delivery_id: str) -> None:
    """Attempt a delivery once, if it is due. No transaction is open while the remote server responds."""
    now = utc_now()
    with transaction() as session:
        delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
        if delivery is None or delivery.status != DeliveryStatus.PENDING or delivery.next_at > now:
            return
        # Keeps other workers from this delivery meanwhile; if this process dies, a sweep schedules another attempt.
        delivery.next_at, delivery.nudged_at = now + ATTEMPT_LEASE, None
        hook = session.get_one(Webhook, delivery.webhook_id)
    response_status, error = _post(hook, delivery, now=now)
    with transaction() as session:
        delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
        if delivery is None:
            return
        delivery.response_status, delivery.error = response_status, error
        delivery.attempts += 1
        if error is None:
            delivery.status = DeliveryStatus.DELIVERED
        elif delivery.attempts > len(RETRIES_S):
            delivery.status = DeliveryStatus.FAILED
        else:
            delivery.next_at = now + timedelta(seconds=RETRIES_S[delivery.attempts - 1])
        log.info("webhook", delivery=delivery.id, status=delivery.status, response=delivery.response_status)


def _post(hook: Webhook, delivery: WebhookDelivery, *, now: datetime) -> tuple[int | None, str | None]:
    """Return (response status, error)."""
    body = json.dumps(delivery.payload, separators=(",", ":"))
    timestamp = unix_s(now)
    headers = {
        "content-type": "application/json",
        "user-agent": "rlsd-workbench",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(hook.secret, delivery_id=delivery.id, timestamp=timestamp, body=body),
    }
    try:
        status = outbound.post(
            hook.url, content=body, headers=headers, networks=settings().webhook_networks, timeout_s=TIMEOUT_S
        )
    except TimeoutError:
        return None, f"The server did not respond within {TIMEOUT_S:g} s."
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return None, f"{type(error).__name__}: {error}"[:500]
    return status, None if 200 <= status < 300 else f"The server responded with status {status}."
