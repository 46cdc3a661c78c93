"""Projects and their isolation: the objects of one project are invisible to the others.

A session opened for a project (`backend.db.engine.transaction(project=...)`) sees only the project's rows in all tables
that are `ProjectOwned`, and the ids of rows it changes are collected in its `info["touched"]`. It is the second lock:
each query by an id from outside names the project, and so does each row that is added. Sessions without a project, such
as the workers', see all rows. The lock is put on when the tables are imported, so no session can be without it.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

from sqlalchemy import ForeignKey, event, func, inspect, select
from sqlalchemy.orm import (
    LoaderCriteriaOption,
    Mapped,
    ORMExecuteState,
    Session,
    UOWTransaction,
    mapped_column,
    with_loader_criteria,
)

from backend.db.base import Base, Json, utc_now
from backend.db.pages import Listing
from backend.errors import AppError
from backend.ids import new_id

DEFAULT_PROJECT = "proj-default"
"""The project that every installation starts with. Its admins are the administrators of the server."""


ALL_PROJECTS = "of_all_projects"
"""Execution option of the few statements that must see the rows of all projects, without returning them to a caller."""


class Project(Base):
    """A project. `quotas`: limits by name (backend.quotas.Quotas); a missing name is not limited.

    `past_gpu_hours`: usage of jobs that have been deleted.
    """

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    quotas: Mapped[Json]
    past_gpu_hours: Mapped[float] = mapped_column(default=0.0, server_default="0")


class ProjectOwned:
    """Mixin for tables with rows that belong to a project. `noun` is what a message calls one of them."""

    noun: ClassVar[str]

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)


Owned = TypeVar("Owned", bound=ProjectOwned)


def find_owned(session: Session, table: type[Owned], row_id: str, *, project: str) -> Owned | None:
    """Return the project's row with this id; None if the project has none."""
    if "\0" in row_id:
        return None
    (key,) = inspect(table, raiseerr=True).primary_key
    return session.scalar(select(table).where(key == row_id, table.project_id == project))


def delete_owned(session: Session, table: type[Owned], row_id: str, *, project: str) -> bool:
    """Delete the project's row with this id; False if the project has none."""
    row = find_owned(session, table, row_id, project=project)
    if row is not None:
        session.delete(row)
    return row is not None


def changed_ids(session: Session) -> list[str]:
    """Return the ids of the rows that a project's session has added, changed or deleted."""
    session.flush()
    return [*session.info.get("touched", ())]


def all_projects() -> Listing[Project]:
    return Listing(select(Project), keys=(Project.created_at, Project.id))


def find_project(session: Session, project_id: str) -> Project | None:
    return None if "\0" in project_id else session.get(Project, project_id)


def get_project(session: Session, project_id: str) -> Project:
    """Return the project of a row or caller, which exists."""
    return session.get_one(Project, project_id)


def lock_project(session: Session, project_id: str) -> Project:
    """Return the project, locked until the transaction ends; inserts that only refer to it need not wait."""
    return session.get_one(Project, project_id, with_for_update={"key_share": True})


def add_project(session: Session, *, name: str, quotas: Json) -> Project:
    """Add a project. Raises AppError 409 if its name is taken."""
    project = Project(id=new_id("proj"), name="", created_at=utc_now(), quotas=quotas)
    rename(session, project, name)
    session.add(project)
    session.flush()
    return project


def rename(session: Session, project: Project, name: str) -> None:
    """Give the project a name. Raises AppError 409 if another one has it, in any case."""
    others = select(Project.id).where(func.lower(Project.name) == name.lower(), Project.id != project.id)
    if session.scalar(others) is not None:
        raise AppError(
            f"A project named '{name}' already exists.",
            status=409,
            code="name_taken",
            param="name",
            type="conflict_error",
        )
    project.name = name


@event.listens_for(Session, "do_orm_execute")
def _filter_by_project(state: ORMExecuteState) -> None:
    project = state.session.info.get("project")
    if state.execution_options.get(ALL_PROJECTS):
        return
    if project is not None and (state.is_select or state.is_update or state.is_delete):
        state.statement = state.statement.options(_owned_by(project))


@lru_cache(maxsize=1000)
def _owned_by(project: str) -> LoaderCriteriaOption:
    """Build the filter on a project, cached because SQLAlchemy analyses each new one."""
    return with_loader_criteria(ProjectOwned, lambda owned: owned.project_id == project, include_aliases=True)


@event.listens_for(Session, "before_flush")
def _note_changes(session: Session, _context: UOWTransaction, _instances: Any) -> None:
    if session.info.get("project") is None:
        return
    changed = [*session.new, *session.dirty, *session.deleted]
    session.info.setdefault("touched", []).extend(row.id for row in changed if hasattr(row, "id"))
