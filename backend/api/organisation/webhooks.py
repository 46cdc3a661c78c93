"""`/v1/webhooks`: URLs that are notified when a job has ended, with a delivery log."""

from collections.abc import Sequence
from typing import Literal, get_args

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from backend.api.http.dependencies import Auth, Database, ObjectId, get_or_404
from backend.api.http.paging import ListItem, Page, PageParams, paginate
from backend.db.base import unix_s, utc_now
from backend.db.webhooks import DeliveryStatus, Webhook, WebhookDelivery
from backend.ids import new_id
from backend.webhooks import deliver_to, new_secret, require_url

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
EventType = Literal["fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"]
TEST = "webhook.test"


class WebhookRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = Field(min_length=8, max_length=2000)
    events: list[EventType] = Field(default_factory=lambda: list(get_args(EventType)), min_length=1, max_length=3)


class DeliveryObject(ListItem):
    """A delivery; `response_status` and `error` are those of the latest attempt."""

    object: Literal["webhook.delivery"] = "webhook.delivery"
    type: str
    about: str
    status: DeliveryStatus
    attempts: int
    created_at: int
    next_at: int | None
    response_status: int | None
    error: str | None


class WebhookObject(ListItem):
    """A webhook; `last_delivery` is None before the first."""

    object: Literal["webhook"] = "webhook"
    url: str
    events: list[str]
    created_at: int
    last_delivery: DeliveryObject | None = None


class NewWebhook(WebhookObject):
    """A new webhook with the `secret` that verifies signatures, which is shown only once."""

    secret: str


class WebhookDeleted(BaseModel):
    id: str
    object: Literal["webhook"] = "webhook"
    deleted: bool = True


@router.post("")
def create_webhook(body: WebhookRequest, _: Auth, session: Database) -> NewWebhook:
    """Create a webhook; its secret is shown only once."""
    require_url(body.url)
    hook = Webhook(id=new_id("hook"), url=body.url, events=list(body.events), secret=new_secret(), created_at=utc_now())
    session.add(hook)
    session.flush()
    return NewWebhook(**_webhook_object(hook).model_dump(), secret=hook.secret)


@router.get("")
def list_webhooks(
    _: Auth,
    session: Database,
    query: PageParams,
) -> Page[WebhookObject]:
    """List all webhooks."""
    page = paginate(
        session, select(Webhook), keys=(Webhook.created_at, Webhook.id), query=query, to_item=_webhook_object
    )
    newest = _newest_deliveries(session, [hook.id for hook in page.data])
    for hook in page.data:
        hook.last_delivery = newest.get(hook.id)
    return page


@router.delete("/{webhook_id}")
def delete_webhook(webhook_id: ObjectId, _: Auth, session: Database) -> WebhookDeleted:
    """Delete a webhook."""
    session.delete(get_or_404(session, Webhook, webhook_id, kind="webhook"))
    return WebhookDeleted(id=webhook_id)


@router.post("/{webhook_id}/test")
def send_test(webhook_id: ObjectId, _: Auth, session: Database) -> DeliveryObject:
    """Send an event of the type `webhook.test`; the outcome is in the delivery log."""
    hook = get_or_404(session, Webhook, webhook_id, kind="webhook")
    return _delivery_object(deliver_to(session, hook, kind=TEST, object_id=hook.id))


@router.get("/{webhook_id}/deliveries")
def list_deliveries(
    webhook_id: ObjectId,
    _: Auth,
    session: Database,
    query: PageParams,
) -> Page[DeliveryObject]:
    """List the deliveries of a webhook, newest first."""
    get_or_404(session, Webhook, webhook_id, kind="webhook")
    statement = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    return paginate(
        session, statement, keys=(WebhookDelivery.created_at, WebhookDelivery.id), query=query, to_item=_delivery_object
    )


def _newest_deliveries(session: Session, webhook_ids: Sequence[str]) -> dict[str, DeliveryObject]:
    """Return the latest delivery of each webhook that has one."""
    webhook_id, created_at, number = WebhookDelivery.webhook_id, WebhookDelivery.created_at, WebhookDelivery.id
    statement = select(WebhookDelivery).where(webhook_id.in_(webhook_ids)).ext(distinct_on(webhook_id))
    statement = statement.order_by(webhook_id, created_at.desc(), number.desc())
    return {delivery.webhook_id: _delivery_object(delivery) for delivery in session.scalars(statement)}


def _webhook_object(hook: Webhook) -> WebhookObject:
    return WebhookObject(id=hook.id, url=hook.url, events=hook.events, created_at=unix_s(hook.created_at) or 0)


def _delivery_object(delivery: WebhookDelivery) -> DeliveryObject:
    return DeliveryObject(
        id=delivery.id,
        type=delivery.payload["type"],
        about=delivery.payload["data"]["id"],
        status=DeliveryStatus(delivery.status),
        attempts=delivery.attempts,
        created_at=unix_s(delivery.created_at) or 0,
        next_at=unix_s(delivery.next_at) if delivery.status == DeliveryStatus.PENDING else None,
        response_status=delivery.response_status,
        error=delivery.error,
    )
