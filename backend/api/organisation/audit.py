"""`/v1/audit`: who did what."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Select, select

from backend.api.http.dependencies import Auth, Database
from backend.api.http.paging import After, Limit, ListItem, Order, Page, cut, numbers_of
from backend.db.audit import AuditEntry
from backend.db.base import unix_s

router = APIRouter(prefix="/audit", tags=["people"])
STORABLE = r"^[^\x00]*$"


def _part_of(what: str) -> object:
    return Query(max_length=200, pattern=STORABLE, description=f"Words in {what}, in any case.")


def _moment(which: str) -> object:
    return Query(ge=0, le=2**33, description=f"Unix seconds: {which}.")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; what is not said leaves none out."""

    actor: Annotated[str | None, _part_of("the name or id of who did it")] = None
    action: Annotated[str | None, _part_of("method and route")] = None
    about: Annotated[str | None, _part_of("the ids it was done to")] = None
    since: Annotated[int | None, _moment("not before it")] = None
    until: Annotated[int | None, _moment("before it")] = None

    def of(self, entries: Select[AuditEntry]) -> Select[AuditEntry]:
        if self.actor:
            who = AuditEntry.actor.icontains(self.actor, autoescape=True)
            entries = entries.where(who | AuditEntry.actor_name.icontains(self.actor, autoescape=True))
        if self.action:
            entries = entries.where(AuditEntry.action.icontains(self.action, autoescape=True))
        if self.about:
            entries = entries.where(AuditEntry.objects.icontains(self.about, autoescape=True))
        if self.since is not None:
            entries = entries.where(AuditEntry.created_at >= datetime.fromtimestamp(self.since, UTC))
        if self.until is not None:
            entries = entries.where(AuditEntry.created_at < datetime.fromtimestamp(self.until, UTC))
        return entries


class AuditObject(ListItem):
    object: Literal["audit.entry"] = "audit.entry"
    created_at: int
    actor: str
    actor_name: str
    action: str
    objects: list[str]
    request_id: str
    address: str | None


@router.get("")
def list_audit(
    _: Auth,
    session: Database,
    wanted: Annotated[AuditFilter, Depends()],
    after: After = None,
    limit: Limit = 50,
    order: Order = Order.DESC,
) -> Page[AuditObject]:
    """Every change in the project, the newest first."""
    return cut(
        session,
        wanted.of(select(AuditEntry)),
        keys=(AuditEntry.number,),
        after=numbers_of(after, pattern=r"audit-(\d+)"),
        limit=limit,
        order=order,
        show=_shown,
    )


def _shown(entry: AuditEntry) -> AuditObject:
    return AuditObject(
        id=f"audit-{entry.number}",
        created_at=unix_s(entry.created_at) or 0,
        actor=entry.actor,
        actor_name=entry.actor_name,
        action=entry.action,
        objects=entry.objects.split(),
        request_id=entry.request_id,
        address=entry.address,
    )
