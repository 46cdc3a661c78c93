"""`/v1/keys`, `/v1/members`, `/v1/projects`, `/v1/whoami`: who may come in, and to what."""

from datetime import timedelta
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.api.callers import Caller
from backend.api.deps import MAX_ID, Auth, Database, ObjectId, found, write_audit_entry
from backend.api.paging import After, Asked, Limit, ListItem, Order, Page, PageAsked, cut, listed
from backend.api.policy import administers
from backend.db.base import unix_s, utc_now
from backend.db.engine import transaction
from backend.db.keys import ApiKey, Member, Role, create_key
from backend.db.projects import Project
from backend.errors import AppError
from backend.ids import new_id
from backend.quotas import Quotas, Usage, usage
from backend.settings import settings

router = APIRouter(tags=["people"])
EMAIL = r"^[^@\s/]{1,100}@[^@\s/]{1,100}$"
"""Without a slash, which would end it in the path of a request."""


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProjectObject(ListItem):
    object: Literal["project"] = "project"
    name: str
    created_at: int
    quotas: Quotas
    usage: Usage | None = None


class Whoami(BaseModel):
    """The caller, and what the caller's project may use and uses."""

    object: Literal["whoami"] = "whoami"
    id: str
    name: str
    role: Role
    project: ProjectObject
    identity_provider: str | None = Field(
        description="Issuer whose ID tokens let members in; null where this server accepts keys alone."
    )


class ProjectRequest(Body):
    name: str = Field(min_length=1, max_length=100)
    quotas: Quotas = Field(default_factory=Quotas)


class ProjectChange(Body):
    name: str | None = Field(None, min_length=1, max_length=100)
    quotas: Quotas | None = None


class KeyObject(ListItem):
    """A key without its secret, of which `prefix` are the first characters."""

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


class NewKey(KeyObject):
    """`secret` is shown here and never again."""

    secret: str


class KeyRequest(Body):
    name: str = Field(min_length=1, max_length=100)
    role: Role = Role.EDITOR
    expires_in_days: int | None = Field(None, ge=1, le=3650)


class MemberObject(ListItem):
    """`id` is the e-mail address."""

    object: Literal["member"] = "member"
    role: Role
    created_at: int


class MemberRequest(Body):
    email: str = Field(max_length=MAX_ID, pattern=EMAIL)
    role: Role = Role.VIEWER


class Removed(BaseModel):
    id: str
    deleted: bool = True


@router.get("/whoami")
def whoami(who: Auth, session: Database) -> Whoami:
    project = session.get_one(Project, who.project)
    return Whoami(
        id=who.id,
        name=who.name,
        role=who.role,
        project=_project(project, usage=usage(session)),
        identity_provider=settings().oidc_issuer if settings().oidc_audience else None,
    )


@router.post("/keys")
def make_key(body: KeyRequest, who: Auth, session: Database) -> NewKey:
    return _new_key(session, body, project=who.project)


@router.get("/keys")
def list_keys(_: Auth, session: Database, asked: PageAsked) -> Page[KeyObject]:
    return listed(session, select(ApiKey), keys=(ApiKey.created_at, ApiKey.id), asked=asked, show=_key)


@router.delete("/keys/{key_id}")
def revoke_key(key_id: ObjectId, who: Auth, session: Database) -> KeyObject:
    """Makes it invalid at once, and keeps what is known of it. A key cannot revoke itself."""
    if key_id == who.id:
        raise AppError(
            "This is the key you are using: revoke it with another.", status=409, code="own_key", type="conflict_error"
        )
    key = found(session, ApiKey, key_id, kind="key")
    key.revoked_at = key.revoked_at or utc_now()
    return _key(key)


@router.post("/members")
def invite(body: MemberRequest, who: Auth, session: Database) -> MemberObject:
    """Lets somebody in who signs in through the identity provider, or changes their role."""
    email = body.email.lower()
    member = session.get(Member, email)
    if member is None:
        member = Member(email=email, role=body.role, created_at=utc_now())
        session.add(member)
        try:
            session.flush()
        except IntegrityError:
            raise _not_invitable(email, who) from None
    elif email == who.id and body.role is not Role.ADMIN:
        raise AppError("Another admin has to change your role.", status=409, code="own_role", type="conflict_error")
    member.role = body.role
    return _member(member)


@router.get("/members")
def list_members(
    _: Auth, session: Database, after: After = None, limit: Limit = 20, order: Order = Order.ASC
) -> Page[MemberObject]:
    place = None if after is None else [after]
    return cut(session, select(Member), keys=(Member.email,), after=place, limit=limit, order=order, show=_member)


@router.delete("/members/{email}")
def remove_member(email: ObjectId, who: Auth, session: Database) -> Removed:
    email = email.lower()
    if email == who.id:
        raise AppError("Another admin has to remove you.", status=409, code="own_role", type="conflict_error")
    session.delete(found(session, Member, email, kind="member"))
    return Removed(id=email)


@router.post("/projects")
def create_project(body: ProjectRequest, _: Auth, session: Database) -> ProjectObject:
    project = Project(id=new_id("proj"), name="", created_at=utc_now(), quotas={})
    _change(session, project, name=body.name, quotas=body.quotas)
    return _project(project)


@router.get("/projects")
def list_projects(
    _: Auth, session: Database, after: After = None, limit: Limit = 20, order: Order = Order.ASC
) -> Page[ProjectObject]:
    """With what each uses, the oldest first."""
    return listed(
        session,
        select(Project),
        keys=(Project.created_at, Project.id),
        asked=Asked(after, limit, order),
        show=_used_project,
    )


@router.post("/projects/{project_id}")
def change_project(project_id: ObjectId, body: ProjectChange, _: Auth, session: Database) -> ProjectObject:
    """A new name, new quotas; quotas that are sent replace all that were set."""
    project = found(session, Project, project_id, kind="project")
    _change(session, project, name=body.name, quotas=body.quotas)
    return _project(project)


@router.post("/projects/{project_id}/keys")
def make_project_key(project_id: ObjectId, body: KeyRequest, request: Request, who: Auth, session: Database) -> NewKey:
    """A key for another project: how its first admin comes in. The audit logs of both projects tell of it."""
    project = found(session, Project, project_id, kind="project")
    key = _new_key(session, body, project=project.id)
    if project.id != who.project:
        write_audit_entry(session, request, who, project=project.id)
    return key


def _not_invitable(email: str, who: Caller) -> AppError:
    """They belong to another project, of which only administrators of the server are told."""
    message = f"'{email}' cannot be let in here: ask an administrator of the server."
    if administers(who.role, project=who.project):
        message = f"'{email}' belongs to another project: have them removed there first."
    return AppError(message, status=409, code="not_invitable", param="email", type="conflict_error")


def _new_key(session: Session, body: KeyRequest, *, project: str) -> NewKey:
    days = body.expires_in_days
    key, secret = create_key(
        session,
        name=body.name,
        role=body.role,
        project=project,
        expires_at=None if days is None else utc_now() + timedelta(days=days),
    )
    return NewKey(**_key(key).model_dump(), secret=secret)


def _change(session: Session, project: Project, *, name: str | None, quotas: Quotas | None) -> None:
    taken = name and session.scalar(
        select(Project.id).where(func.lower(Project.name) == name.lower(), Project.id != project.id)
    )
    if taken:
        raise AppError(
            f"There is a project '{name}' already.", status=409, code="name_taken", param="name", type="conflict_error"
        )
    project.name = name or project.name
    project.quotas = project.quotas if quotas is None else quotas.model_dump(exclude_none=True)
    session.add(project)
    session.flush()


def _project(project: Project, *, usage: Usage | None = None) -> ProjectObject:
    return ProjectObject(
        id=project.id,
        name=project.name,
        created_at=unix_s(project.created_at) or 0,
        quotas=Quotas.model_validate(project.quotas),
        usage=usage,
    )


def _used_project(project: Project) -> ProjectObject:
    """Another project's use is seen by a session of that project alone."""
    with transaction(project=project.id) as session:
        return _project(project, usage=usage(session))


def _key(key: ApiKey) -> KeyObject:
    return KeyObject(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        role=Role(key.role),
        project_id=key.project_id,
        status=key.state,
        created_at=unix_s(key.created_at) or 0,
        expires_at=unix_s(key.expires_at),
        last_used_at=unix_s(key.last_used_at),
        revoked_at=unix_s(key.revoked_at),
    )


def _member(member: Member) -> MemberObject:
    return MemberObject(id=member.email, role=Role(member.role), created_at=unix_s(member.created_at) or 0)
