"""The audit log: every change that came through the API, written in the transaction that made it."""

from datetime import datetime

from sqlalchemy import Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base
from backend.db.projects import ProjectOwned


class AuditEntry(ProjectOwned, Base):
    """Who (`actor` is a key's id or an e-mail address) did what, to which objects, from where.

    `action` is method and route; `objects` are the ids that were in its path or were made, changed or deleted by it.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "project_id", "number"),)

    number: Mapped[int] = mapped_column(Identity(), primary_key=True)
    created_at: Mapped[datetime]
    actor: Mapped[str]
    actor_name: Mapped[str]
    action: Mapped[str]
    objects: Mapped[str]
    request_id: Mapped[str]
    address: Mapped[str | None]
