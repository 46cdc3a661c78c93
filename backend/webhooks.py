"""Telling others that a job has ended. Source: Standard Webhooks 1.0 (headers, signature, retries).

A delivery is stored in the transaction that ends the job; a worker sends it, and tries again at growing intervals.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import socket
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.db.base import unix_s, utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.webhooks import DeliveryStatus, Webhook, WebhookDelivery
from backend.errors import AppError
from backend.ids import new_id
from backend.queue import CHECK_QUEUE, WEBHOOK_TASK, send, send_after_commit

SECRET_PREFIX = "whsec_"  # noqa: S105  (the specification's prefix)
RETRIES_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds from each try to the next; then it has failed."""
TIMEOUT_S = 15.0
KEPT = timedelta(days=30)
log = structlog.get_logger()


def new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, *, delivery_id: str, timestamp: int, body: str) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{delivery_id}.{timestamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def require_url(url: str) -> None:
    """Raises AppError where it is no address of somebody else's server: a cloud's metadata is never told or asked."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or "\\" in url:
        raise AppError(
            "The address must begin with https:// or http:// and hold no password.", code="invalid_url", param="url"
        )


def announce(session: Session, job: Job) -> None:
    """Store a delivery for each webhook of the job's project that wants to know of its end."""
    kind = f"fine_tuning.job.{job.state}"
    hooks = session.scalars(select(Webhook).where(Webhook.project_id == job.project_id)).all()
    for hook in hooks:
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
        created_at=now,
    )
    session.add(delivery)
    session.flush()
    send_after_commit(session, WEBHOOK_TASK, delivery.id, queue=CHECK_QUEUE)
    return delivery


def nudge_due(session: Session) -> None:
    """Have those sent whose time has come; forget those that are old."""
    now = utc_now()
    due = select(WebhookDelivery.id).where(
        WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.next_at <= now
    )
    for delivery_id in session.scalars(due):
        send(WEBHOOK_TASK, delivery_id, queue=CHECK_QUEUE)
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.created_at < now - KEPT))


def deliver(delivery_id: str) -> None:
    """Try once, if its time has come. Nobody else tries meanwhile: its row is locked."""
    with transaction() as session:
        delivery = session.scalar(
            select(WebhookDelivery).where(WebhookDelivery.id == delivery_id).with_for_update(skip_locked=True)
        )
        now = utc_now()
        if delivery is None or delivery.status != DeliveryStatus.PENDING or delivery.next_at > now:
            return
        hook = session.get_one(Webhook, delivery.webhook_id)
        delivery.response_status, delivery.error = _post(hook, delivery, now=now)
        delivery.attempts += 1
        if delivery.error is None:
            delivery.status = DeliveryStatus.DELIVERED
        elif delivery.attempts > len(RETRIES_S):
            delivery.status = DeliveryStatus.FAILED
        else:
            delivery.next_at = now + timedelta(seconds=RETRIES_S[delivery.attempts - 1])
        log.info("webhook", delivery=delivery.id, status=delivery.status, response=delivery.response_status)


def _post(hook: Webhook, delivery: WebhookDelivery, *, now: datetime) -> tuple[int | None, str | None]:
    """(status of the answer, what went wrong). Redirects are not followed."""
    body = json.dumps(delivery.payload, separators=(",", ":"))
    timestamp = unix_s(now) or 0
    headers = {
        "content-type": "application/json",
        "user-agent": "rlsd-workbench",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(hook.secret, delivery_id=delivery.id, timestamp=timestamp, body=body),
    }
    try:
        _require_outside(hook.url)
        status = httpx.post(hook.url, content=body, headers=headers, timeout=TIMEOUT_S).status_code
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return None, f"{type(error).__name__}: {error}"[:500]
    return status, None if 200 <= status < 300 else f"The address answered {status}."


def _require_outside(url: str) -> None:
    """Raises ValueError for link-local addresses, where clouds keep the credentials of a machine."""
    host = urlsplit(url).hostname or ""
    for *_, address in socket.getaddrinfo(host, None):
        if ipaddress.ip_address(str(address[0]).partition("%")[0]).is_link_local:
            raise ValueError(f"{host} is a link-local address")
