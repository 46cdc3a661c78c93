"""The audit log: every change, written in the transaction that made it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Identity, Index
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, utc_now
from backend.db.projects import ProjectOwned


class AuditEntry(ProjectOwned, Base):
    """Who (`actor` is a key's id, an e-mail address, or `server`) did what, to which objects, from where.

    `action` is method and route, or the command; `objects` are the ids that were in its path or were made, changed or
    deleted by it.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What an entry tells but its objects: these are known where it is done, which may be another process."""

    actor: str
    actor_name: str
    action: str
    request_id: str
    address: str | None

    def note(self, session: Session, *, objects: Iterable[str], project: str | None = None) -> None:
        """Add the entry, to the log of the session's project unless another is named."""
        session.add(
            AuditEntry(
                created_at=utc_now(),
                actor=self.actor,
                actor_name=self.actor_name,
                action=self.action,
                objects=" ".join(dict.fromkeys(objects)),
                request_id=self.request_id,
                address=self.address,
                project_id=project,
            )
        )


def at_the_server(command: str) -> Act:
    """Something done by a command in the database itself, by somebody who needs no key for that."""
    return Act(actor="server", actor_name="on the server", action=command, request_id="", address=None)
