"""`/v1/audit`: the audit log, who did what."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from backend.api.http.dependencies import Database
from backend.api.http.paging import After, Limit, ListItem, Order, Page, PageQuery, numbers_in_id, page_of
from backend.api.http.rights import AuditRead
from backend.db.audit import AuditEntry, entries_of
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
    caller: AuditRead,
    session: Database,
    filters: Annotated[AuditFilter, Depends()],
    after: After = None,
    limit: Limit = 50,
    order: Order = Order.DESC,
) -> Page[AuditObject]:
    """List every change in the project, newest first."""
    entries = entries_of(
        caller.project,
        actor=filters.actor,
        action=filters.action,
        about=filters.about,
        since=None if filters.since is None else datetime.fromtimestamp(filters.since, UTC),
        until=None if filters.until is None else datetime.fromtimestamp(filters.until, UTC),
    )
    position = partial(numbers_in_id, pattern=r"audit-(\d+)")
    return page_of(session, entries, PageQuery(after, limit, order), to_item=_audit_object, position=position)


def _audit_object(entry: AuditEntry) -> AuditObject:
    return AuditObject(
        id=f"audit-{entry.number}",
        created_at=unix_s(entry.created_at),
        actor=entry.actor,
        actor_name=entry.actor_name,
        action=entry.action,
        objects=entry.objects.split(),
        request_id=entry.request_id,
        address=entry.address,
    )
