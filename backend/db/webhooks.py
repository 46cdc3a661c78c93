"""Webhooks of a project, and their deliveries."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, Json
from backend.db.pages import Listing
from backend.db.projects import ProjectOwned


class DeliveryStatus(StrEnum):
    """State of a delivery."""

    PENDING = "pending"
    """Not delivered yet; the next attempt is at `next_at`."""
    DELIVERED = "delivered"
    """The server responded with 2xx."""
    FAILED = "failed"
    """All attempts have failed."""


class Webhook(ProjectOwned, Base):
    """A webhook. `events`: the subscribed event types. `secret` signs deliveries, so it is stored in plain text."""

    __tablename__ = "webhooks"
    noun = "webhook"

    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    events: Mapped[list[Any]]
    secret: Mapped[str]
    created_at: Mapped[datetime]


class WebhookDelivery(Base):
    """A delivery. `nudged_at`: when a message about the next attempt was sent to a worker; None before."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index(None, "status", "next_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    payload: Mapped[Json]
    status: Mapped[str]
    attempts: Mapped[int]
    next_at: Mapped[datetime]
    nudged_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    response_status: Mapped[int | None]
    error: Mapped[str | None]


def webhooks_of(project: str) -> Listing[Webhook]:
    return Listing(select(Webhook).where(Webhook.project_id == project), keys=(Webhook.created_at, Webhook.id))


def deliveries_of(hook: Webhook) -> Listing[WebhookDelivery]:
    of_hook = select(WebhookDelivery).where(WebhookDelivery.webhook_id == hook.id)
    return Listing(of_hook, keys=(WebhookDelivery.created_at, WebhookDelivery.id))


def newest_deliveries(session: Session, webhook_ids: Collection[str]) -> dict[str, WebhookDelivery]:
    """Return the latest delivery of each of these webhooks that has one."""
    webhook_id, created_at, number = WebhookDelivery.webhook_id, WebhookDelivery.created_at, WebhookDelivery.id
    statement = select(WebhookDelivery).where(webhook_id.in_(webhook_ids)).ext(distinct_on(webhook_id))
    newest = session.scalars(statement.order_by(webhook_id, created_at.desc(), number.desc()))
    return {delivery.webhook_id: delivery for delivery in newest}
