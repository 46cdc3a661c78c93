"""`/v1/keys`: API keys of a project, each with a role and an optional expiry."""

from datetime import timedelta
from typing import Literal

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.orm import Session

from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database, ObjectId, get_or_404
from backend.api.http.operations import ShowsSecret
from backend.api.http.paging import ListItem, Page, PageParams, page_of
from backend.api.http.rights import PeopleManage
from backend.db.base import unix_s, utc_now
from backend.db.keys import ApiKey, Role, create_key, keys_of, revoke
from backend.errors import AppError

router = APIRouter(tags=["keys"])


class KeyObject(ListItem):
    """An API key without its secret; `prefix` are the secret's first characters."""

    object: Literal["key"] = "key"
    name: str
    prefix: str
    role: Role
    project_id: str
    status: Literal["valid", "expired", "revoked"]
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None


class NewKey(KeyObject, ShowsSecret):
    """A new API key with its `secret`, which is shown only once."""

    secret: str


class KeyRequest(RequestBody):
    name: str = Field(min_length=1, max_length=100)
    role: Role = Role.EDITOR
    expires_in_days: int | None = Field(None, ge=1, le=3650)


@router.post("/keys")
def make_key(body: KeyRequest, caller: PeopleManage, session: Database) -> NewKey:
    """Create a key; its secret is shown only once."""
    return new_key(session, body, project=caller.project)


@router.get("/keys")
def list_keys(caller: PeopleManage, session: Database, query: PageParams) -> Page[KeyObject]:
    """List the keys of the project."""
    return page_of(session, keys_of(caller.project), query, to_item=_key_object)


@router.delete("/keys/{key_id}")
def revoke_key(key_id: ObjectId, caller: PeopleManage, session: Database) -> KeyObject:
    """Revoke a key at once; it stays in the list. A key cannot revoke itself."""
    if key_id == caller.id:
        raise AppError(
            "This is the key you are using: revoke it with another key.",
            status=409,
            code="own_key",
            type="conflict_error",
        )
    key = get_or_404(session, ApiKey, key_id, project=caller.project)
    revoke(key)
    return _key_object(key)


def new_key(session: Session, body: KeyRequest, *, project: str) -> NewKey:
    days = body.expires_in_days
    key, secret = create_key(
        session,
        name=body.name,
        role=body.role,
        project=project,
        expires_at=None if days is None else utc_now() + timedelta(days=days),
    )
    return NewKey(**_key_object(key).model_dump(), secret=secret)


def _key_object(key: ApiKey) -> KeyObject:
    return KeyObject(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        role=Role(key.role),
        project_id=key.project_id,
        status=key.state,
        created_at=unix_s(key.created_at),
        expires_at=unix_s(key.expires_at),
        last_used_at=unix_s(key.last_used_at),
        revoked_at=unix_s(key.revoked_at),
    )
