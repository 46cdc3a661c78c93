"""`/v1/projects` and `/v1/whoami`: projects with quotas and usage, and the caller's own."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.api.http.dependencies import Auth, Database, ObjectId, get_or_404, write_audit_entry
from backend.api.http.paging import After, Limit, ListItem, Order, Page, PageQuery, paginate
from backend.api.organisation.keys import Body, KeyRequest, NewKey, new_key
from backend.db.base import unix_s, utc_now
from backend.db.engine import transaction
from backend.db.keys import Role
from backend.db.projects import Project
from backend.errors import AppError
from backend.ids import new_id
from backend.quotas import Quotas, Usage, usage
from backend.settings import settings

router = APIRouter()


class ProjectObject(ListItem):
    object: Literal["project"] = "project"
    name: str
    created_at: int
    quotas: Quotas
    usage: Usage | None = None


class Whoami(BaseModel):
    """The caller, and the project of the caller with its quotas and usage."""

    object: Literal["whoami"] = "whoami"
    id: str
    name: str
    role: Role
    project: ProjectObject
    identity_provider: str | None = Field(
        description="Issuer of the ID tokens of members; null if this server accepts API keys only."
    )


class ProjectRequest(Body):
    name: str = Field(min_length=1, max_length=100)
    quotas: Quotas = Field(default_factory=Quotas)


class ProjectChange(Body):
    name: str | None = Field(None, min_length=1, max_length=100)
    quotas: Quotas | None = None


@router.get("/whoami", tags=["server"])
def whoami(who: Auth, session: Database) -> Whoami:
    """Return the caller, and the project of the caller with its usage."""
    project = session.get_one(Project, who.project)
    return Whoami(
        id=who.id,
        name=who.name,
        role=who.role,
        project=_project_object(project, usage=usage(session)),
        identity_provider=settings().oidc_issuer if settings().oidc_audience else None,
    )


@router.post("/projects", tags=["projects"])
def create_project(body: ProjectRequest, _: Auth, session: Database) -> ProjectObject:
    """Create a project."""
    project = Project(id=new_id("proj"), name="", created_at=utc_now(), quotas={})
    _change(session, project, name=body.name, quotas=body.quotas)
    return _project_object(project)


@router.get("/projects", tags=["projects"])
def list_projects(
    _: Auth, session: Database, after: After = None, limit: Limit = 20, order: Order = Order.ASC
) -> Page[ProjectObject]:
    """List projects with their usage, oldest first."""
    return paginate(
        session,
        select(Project),
        keys=(Project.created_at, Project.id),
        query=PageQuery(after, limit, order),
        to_item=_project_with_usage,
    )


@router.post("/projects/{project_id}", tags=["projects"])
def change_project(project_id: ObjectId, body: ProjectChange, _: Auth, session: Database) -> ProjectObject:
    """Change a project's name or quotas; `quotas` replaces all quotas set before."""
    project = get_or_404(session, Project, project_id, kind="project")
    _change(session, project, name=body.name, quotas=body.quotas)
    return _project_object(project)


@router.post("/projects/{project_id}/keys", tags=["keys"])
def make_project_key(project_id: ObjectId, body: KeyRequest, request: Request, who: Auth, session: Database) -> NewKey:
    """Create a key for any project, such as its first admin's. Recorded in the audit logs of both projects."""
    project = get_or_404(session, Project, project_id, kind="project")
    key = new_key(session, body, project=project.id)
    if project.id != who.project:
        write_audit_entry(session, request, who, project=project.id)
    return key


def _change(session: Session, project: Project, *, name: str | None, quotas: Quotas | None) -> None:
    name_taken = name and session.scalar(
        select(Project.id).where(func.lower(Project.name) == name.lower(), Project.id != project.id)
    )
    if name_taken:
        raise AppError(
            f"A project named '{name}' already exists.",
            status=409,
            code="name_taken",
            param="name",
            type="conflict_error",
        )
    project.name = name or project.name
    project.quotas = project.quotas if quotas is None else quotas.model_dump(exclude_none=True)
    session.add(project)
    session.flush()


def _project_object(project: Project, *, usage: Usage | None = None) -> ProjectObject:
    return ProjectObject(
        id=project.id,
        name=project.name,
        created_at=unix_s(project.created_at) or 0,
        quotas=Quotas.model_validate(project.quotas),
        usage=usage,
    )


def _project_with_usage(project: Project) -> ProjectObject:
    """Add a project's usage, which only a session of that project can read."""
    with transaction(project=project.id) as session:
        return _project_object(project, usage=usage(session))
