"""The audit log: an entry for every change, written in the transaction of the change."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Identity, Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, utc_now
from backend.db.pages import Listing
from backend.db.projects import ProjectOwned


class AuditEntry(ProjectOwned, Base):
    """Who did what, to which objects, from where. `actor` is a key's id, an e-mail address, or `server`.

    `action` is method and route, or the command; `objects` are the ids in its path and those that it created, changed
    or deleted.
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
class AuditAction:
    """An audit entry without its objects, which are known only where the action runs, possibly in another process."""

    actor: str
    actor_name: str
    action: str
    request_id: str
    address: str | None

    def record(self, session: Session, *, objects: Iterable[str], project: str) -> None:
        """Add the entry to the log of the project."""
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


def server_action(command: str) -> AuditAction:
    """Describe an action by a command on the server, which accesses the database directly and needs no key."""
    return AuditAction(actor="server", actor_name="on the server", action=command, request_id="", address=None)


def entries_of(
    project: str,
    *,
    actor: str | None,
    action: str | None,
    about: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Listing[AuditEntry]:
    """Select the project's entries; a text matches a part of the actor's name or id, the action, or the objects."""
    statement = select(AuditEntry).where(AuditEntry.project_id == project)
    if actor:
        by_id = AuditEntry.actor.icontains(actor, autoescape=True)
        statement = statement.where(by_id | AuditEntry.actor_name.icontains(actor, autoescape=True))
    if action:
        statement = statement.where(AuditEntry.action.icontains(action, autoescape=True))
    if about:
        statement = statement.where(AuditEntry.objects.icontains(about, autoescape=True))
    if since is not None:
        statement = statement.where(AuditEntry.created_at >= since)
    if until is not None:
        statement = statement.where(AuditEntry.created_at < until)
    return Listing(statement, keys=(AuditEntry.number,))
