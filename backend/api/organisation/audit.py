"""`/v1/audit`: the audit log, who did what."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Select, select

from backend.api.http.dependencies import Auth, Database
from backend.api.http.paging import After, Limit, ListItem, Order, Page, keyset_page, numbers_in_id
from backend.db.audit import AuditEntry
from backend.db.base import unix_s

router = APIRouter(prefix="/audit", tags=["audit"])
STORABLE = r"^[^\x00]*$"


def _substring_query(what: str) -> object:
    return Query(max_length=200, pattern=STORABLE, description=f"Part of {what}, case-insensitive.")


def _timestamp_query(bound: str) -> object:
    return Query(ge=0, le=2**33, description=f"Only entries {bound} this time, in Unix seconds.")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Filters of the audit log; unset ones exclude nothing."""

    actor: Annotated[str | None, _substring_query("the actor's name or id")] = None
    action: Annotated[str | None, _substring_query("the method and route")] = None
    about: Annotated[str | None, _substring_query("the ids of the affected objects")] = None
    since: Annotated[int | None, _timestamp_query("at or after")] = None
    until: Annotated[int | None, _timestamp_query("before")] = None

    def apply(self, entries: Select[AuditEntry]) -> Select[AuditEntry]:
        if self.actor:
            by_id = AuditEntry.actor.icontains(self.actor, autoescape=True)
            entries = entries.where(by_id | AuditEntry.actor_name.icontains(self.actor, autoescape=True))
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
    filters: Annotated[AuditFilter, Depends()],
    after: After = None,
    limit: Limit = 50,
    order: Order = Order.DESC,
) -> Page[AuditObject]:
    """List every change in the project, newest first."""
    return keyset_page(
        session,
        filters.apply(select(AuditEntry)),
        keys=(AuditEntry.number,),
        after=numbers_in_id(after, pattern=r"audit-(\d+)"),
        limit=limit,
        order=order,
        to_item=_audit_object,
    )


def _audit_object(entry: AuditEntry) -> AuditObject:
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
