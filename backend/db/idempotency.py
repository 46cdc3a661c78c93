"""Requests with an `Idempotency-Key`, and their responses."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, utc_now

KEPT = timedelta(days=1)
LEASE = timedelta(minutes=1)


class IdempotentRequest(Base):
    """A request and its response. `id` is the SHA-256 of caller, path and key. Without `status`, it is in progress
    until `leased_until`; if its process has died by then, a retry takes it over."""

    __tablename__ = "idempotent_requests"

    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    leased_until: Mapped[datetime]
    body_sha256: Mapped[str | None]
    status: Mapped[int | None]
    answer: Mapped[str | None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to process a request. After it lost its lease, it has no effect: the row has another `created_at`."""

    id: str
    begun_at: datetime


def begin(session: Session, request_id: str) -> Attempt | IdempotentRequest:
    """Start an attempt, or return the earlier request if it was answered or is in progress."""
    unfinished = IdempotentRequest.status.is_(None)
    free = (unfinished & (IdempotentRequest.leased_until < func.now())) | (
        IdempotentRequest.created_at < func.now() - KEPT
    )
    fresh = {"created_at": func.now(), "leased_until": func.now() + LEASE}
    begun_at = session.scalar(
        insert(IdempotentRequest)
        .values(id=request_id, **fresh)
        .on_conflict_do_update(
            index_elements=[IdempotentRequest.id],
            set_={**fresh, "body_sha256": None, "status": None, "answer": None},
            where=free,
        )
        .returning(IdempotentRequest.created_at)
    )
    if begun_at is None:  # the row is locked nevertheless, so it exists
        return session.get_one(IdempotentRequest, request_id)
    return Attempt(request_id, begun_at)


def extend_lease(session: Session, attempt: Attempt) -> None:
    session.execute(update(IdempotentRequest).where(_of(attempt)).values(leased_until=func.now() + LEASE))


def store_response(session: Session, attempt: Attempt, *, body_sha256: str, status: int, answer: str) -> None:
    kept = {"body_sha256": body_sha256, "status": status, "answer": answer}
    session.execute(update(IdempotentRequest).where(_of(attempt)).values(**kept))


def forget(session: Session, attempt: Attempt) -> None:
    session.execute(delete(IdempotentRequest).where(_of(attempt)))


def forget_old(session: Session) -> None:
    """Delete requests older than a day."""
    session.execute(delete(IdempotentRequest).where(IdempotentRequest.created_at < utc_now() - KEPT))


def _of(attempt: Attempt) -> ColumnElement[bool]:
    return (IdempotentRequest.id == attempt.id) & (IdempotentRequest.created_at == attempt.begun_at)
