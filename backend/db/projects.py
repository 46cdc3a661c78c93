"""Projects and their isolation: the objects of one project are invisible to the others.

A session opened for a project (`backend.db.engine.transaction(project=...)`) sees only the project's rows in all tables
that are `ProjectOwned`, and the ids of rows it changes are collected in its `info["touched"]`. It is the second lock:
each query by an id from outside names the project, and so does each row that is added. Sessions without a project, such
as the workers', see all rows.
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

from backend.db.base import Base, Json
from backend.db.pages import Listing

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


def all_projects() -> Listing[Project]:
    return Listing(select(Project), keys=(Project.created_at, Project.id))


def find_project(session: Session, project_id: str) -> Project | None:
    return None if "\0" in project_id else session.get(Project, project_id)


def is_name_taken(session: Session, name: str, *, besides: str) -> bool:
    """Return whether a project other than `besides` has this name, in any case."""
    others = select(Project.id).where(func.lower(Project.name) == name.lower(), Project.id != besides)
    return session.scalar(others) is not None


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
