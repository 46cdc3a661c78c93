"""Webhooks of a project, and their deliveries."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
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
