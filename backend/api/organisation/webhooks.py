"""`/v1/webhooks`: URLs that are notified when a job has ended, with a delivery log."""

from typing import Literal, get_args

from fastapi import APIRouter
from pydantic import BaseModel, Field

from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database, ObjectId, delete_or_404, get_or_404
from backend.api.http.operations import ShowsSecret
from backend.api.http.paging import ListItem, Page, PageParams, page_of
from backend.api.http.rights import WebhooksManage
from backend.db.base import unix_s
from backend.db.webhooks import DeliveryStatus, Webhook, WebhookDelivery, deliveries_of, newest_deliveries, webhooks_of
from backend.webhooks import create, deliver_to

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
EventType = Literal["fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"]
TEST = "webhook.test"


class WebhookRequest(RequestBody):
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


class NewWebhook(WebhookObject, ShowsSecret):
    """A new webhook with the `secret` that verifies signatures, which is shown only once."""

    secret: str


class WebhookDeleted(BaseModel):
    id: str
    object: Literal["webhook"] = "webhook"
    deleted: bool = True


@router.post("")
def create_webhook(body: WebhookRequest, caller: WebhooksManage, session: Database) -> NewWebhook:
    """Create a webhook; its secret is shown only once."""
    hook = create(session, url=body.url, events=body.events, project=caller.project)
    return NewWebhook(**_webhook_object(hook).model_dump(), secret=hook.secret)


@router.get("")
def list_webhooks(
    caller: WebhooksManage,
    session: Database,
    query: PageParams,
) -> Page[WebhookObject]:
    """List all webhooks."""
    page = page_of(session, webhooks_of(caller.project), query, to_item=_webhook_object)
    newest = newest_deliveries(session, [hook.id for hook in page.data])
    for hook in page.data:
        hook.last_delivery = _delivery_object(newest[hook.id]) if hook.id in newest else None
    return page


@router.delete("/{webhook_id}")
def delete_webhook(webhook_id: ObjectId, caller: WebhooksManage, session: Database) -> WebhookDeleted:
    """Delete a webhook."""
    delete_or_404(session, Webhook, webhook_id, project=caller.project)
    return WebhookDeleted(id=webhook_id)


@router.post("/{webhook_id}/test")
def send_test(webhook_id: ObjectId, caller: WebhooksManage, session: Database) -> DeliveryObject:
    """Send an event of the type `webhook.test`; the outcome is in the delivery log."""
    hook = get_or_404(session, Webhook, webhook_id, project=caller.project)
    return _delivery_object(deliver_to(session, hook, kind=TEST, object_id=hook.id))


@router.get("/{webhook_id}/deliveries")
def list_deliveries(
    webhook_id: ObjectId,
    caller: WebhooksManage,
    session: Database,
    query: PageParams,
) -> Page[DeliveryObject]:
    """List the deliveries of a webhook, newest first."""
    hook = get_or_404(session, Webhook, webhook_id, project=caller.project)
    return page_of(session, deliveries_of(hook), query, to_item=_delivery_object)


def _webhook_object(hook: Webhook) -> WebhookObject:
    return WebhookObject(id=hook.id, url=hook.url, events=hook.events, created_at=unix_s(hook.created_at))


def _delivery_object(delivery: WebhookDelivery) -> DeliveryObject:
    return DeliveryObject(
        id=delivery.id,
        type=delivery.payload["type"],
        about=delivery.payload["data"]["id"],
        status=DeliveryStatus(delivery.status),
        attempts=delivery.attempts,
        created_at=unix_s(delivery.created_at),
        next_at=unix_s(delivery.next_at) if delivery.status == DeliveryStatus.PENDING else None,
        response_status=delivery.response_status,
        error=delivery.error,
    )
