"""Projects: what belongs to one does not exist for another.

A session opened for a project (`backend.db.engine.transaction(project=...)`) sees only rows of that project in every
table that is `ProjectOwned`, what it adds there belongs to the project, and the ids of what it changes are gathered in
its `info["touched"]`. Sessions without one, the workers', see all.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ForeignKey, event
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

DEFAULT_PROJECT = "proj-default"
"""The project that every installation begins with. Its admins are the administrators of the server."""


OF_ALL = "of_all_projects"
"""Execution option of the few statements that have to see what others own, and show none of it."""


class Project(Base):
    """`quotas`: limits by name (backend.quotas.Quotas); a name that is missing is not limited.

    `past_gpu_hours`: what jobs used that were deleted since.
    """

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    quotas: Mapped[Json]
    past_gpu_hours: Mapped[float] = mapped_column(default=0.0, server_default="0")


class ProjectOwned:
    """A table whose rows belong to one project."""

    project_id: Mapped[str] = mapped_column(
        ForeignKey("projects.id"), index=True, default=DEFAULT_PROJECT, server_default=DEFAULT_PROJECT
    )


@event.listens_for(Session, "do_orm_execute")
def _see_own_rows_only(state: ORMExecuteState) -> None:
    project = state.session.info.get("project")
    if state.execution_options.get(OF_ALL):
        return
    if project is not None and (state.is_select or state.is_update or state.is_delete):
        state.statement = state.statement.options(_owned_by(project))


@lru_cache(maxsize=1000)
def _owned_by(project: str) -> LoaderCriteriaOption:
    """Kept, since SQLAlchemy looks closely at each new one."""
    return with_loader_criteria(ProjectOwned, lambda owned: owned.project_id == project, include_aliases=True)


@event.listens_for(Session, "before_flush")
def _own_what_is_added(session: Session, _context: UOWTransaction, _instances: Any) -> None:
    project = session.info.get("project")
    if project is None:
        return
    for added in session.new:
        if isinstance(added, ProjectOwned) and not added.project_id:
            added.project_id = project
    changed = [*session.new, *session.dirty, *session.deleted]
    session.info.setdefault("touched", []).extend(row.id for row in changed if hasattr(row, "id"))
