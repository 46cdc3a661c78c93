"""`/v1/projects` and `/v1/whoami`: projects with quotas and usage, and the caller's own."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database, ObjectId, write_audit_entry
from backend.api.http.paging import After, Limit, ListItem, Order, Page, PageQuery, page_of
from backend.api.http.rights import ProjectRead, ServerManage
from backend.api.organisation.keys import KeyRequest, NewKey, new_key
from backend.db.base import unix_s
from backend.db.engine import transaction
from backend.db.keys import Role
from backend.db.projects import Project, add_project, all_projects, find_project, rename
from backend.errors import not_found
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


class ProjectRequest(RequestBody):
    name: str = Field(min_length=1, max_length=100)
    quotas: Quotas = Field(default_factory=Quotas)


class ProjectChange(RequestBody):
    name: str | None = Field(None, min_length=1, max_length=100)
    quotas: Quotas | None = None


@router.get("/whoami", tags=["server"])
def whoami(caller: ProjectRead, session: Database) -> Whoami:
    """Return the caller, and the project of the caller with its usage."""
    project = _project(session, caller.project)
    return Whoami(
        id=caller.id,
        name=caller.name,
        role=caller.role,
        project=_project_object(project, usage=usage(session, project=project.id)),
        identity_provider=settings().oidc_issuer if settings().oidc_audience else None,
    )


@router.post("/projects", tags=["projects"])
def create_project(body: ProjectRequest, _: ServerManage, session: Database) -> ProjectObject:
    """Create a project."""
    return _project_object(add_project(session, name=body.name, quotas=body.quotas.model_dump(exclude_none=True)))


@router.get("/projects", tags=["projects"])
def list_projects(
    _: ServerManage, session: Database, after: After = None, limit: Limit = 20, order: Order = Order.ASC
) -> Page[ProjectObject]:
    """List projects with their usage, oldest first."""
    return page_of(session, all_projects(), PageQuery(after, limit, order), to_item=_project_with_usage)


@router.post("/projects/{project_id}", tags=["projects"])
def change_project(project_id: ObjectId, body: ProjectChange, _: ServerManage, session: Database) -> ProjectObject:
    """Change a project's name or quotas; `quotas` replaces all quotas set before."""
    project = _project(session, project_id)
    if body.name:
        rename(session, project, body.name)
    if body.quotas is not None:
        project.quotas = body.quotas.model_dump(exclude_none=True)
    return _project_object(project)


@router.post("/projects/{project_id}/keys", tags=["keys"])
def make_project_key(
    project_id: ObjectId, body: KeyRequest, request: Request, caller: ServerManage, session: Database
) -> NewKey:
    """Create a key for any project, such as its first admin's. Recorded in the audit logs of both projects."""
    project = _project(session, project_id)
    key = new_key(session, body, project=project.id)
    if project.id != caller.project:
        write_audit_entry(session, request, caller, project=project.id)
    return key


def _project(session: Session, project_id: str) -> Project:
    """Return the project with this id. Raises AppError 404."""
    project = find_project(session, project_id)
    if project is None:
        raise not_found("project", project_id)
    return project


def _project_object(project: Project, *, usage: Usage | None = None) -> ProjectObject:
    return ProjectObject(
        id=project.id,
        name=project.name,
        created_at=unix_s(project.created_at),
        quotas=Quotas.model_validate(project.quotas),
        usage=usage,
    )


def _project_with_usage(project: Project) -> ProjectObject:
    """Add a project's usage, which only a session of that project can read."""
    with transaction(project=project.id) as session:
        return _project_object(project, usage=usage(session, project=project.id))
