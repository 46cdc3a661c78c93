"""Webhooks of a project, and each delivery with how it went."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.projects import ProjectOwned


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    """Not delivered yet; `next_at` says when it is tried."""
    DELIVERED = "delivered"
    """Answered with 2xx."""
    FAILED = "failed"
    """Tried as often as it is tried."""


class Webhook(ProjectOwned, Base):
    """`events`: the types that are sent. `secret` signs, so it is kept as it is; it is shown once."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    events: Mapped[list[Any]]
    secret: Mapped[str]
    created_at: Mapped[datetime]


class WebhookDelivery(Base):
    """`nudged_at`: when a worker was sent a message about the next try; None before."""

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
