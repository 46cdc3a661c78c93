"""Requests that came with an `Idempotency-Key`, and what was answered."""

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, utc_now

KEPT = timedelta(days=1)


class IdempotentRequest(Base):
    """`id` is the SHA-256 of caller, path and key. Without `status` the request is still at work."""

    __tablename__ = "idempotent_requests"

    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    body_sha256: Mapped[str | None]
    status: Mapped[int | None]
    answer: Mapped[str | None]


def forget_old(session: Session) -> None:
    """Delete what is older than a day."""
    session.execute(delete(IdempotentRequest).where(IdempotentRequest.created_at < utc_now() - KEPT))
