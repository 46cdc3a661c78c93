"""Checks: work that a worker does for the API, such as trying a verifier or sampling; the request and its result."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, Json
from backend.db.files import File
from backend.db.pages import Listing
from backend.db.projects import ProjectOwned


class CheckStatus(StrEnum):
    """State of a check."""

    QUEUED = "queued"
    """Waiting or in progress."""
    DONE = "done"
    """`result` is available."""
    FAILED = "failed"
    """`result` is `{message, code, param}`: the check itself could not be completed."""


class Check(ProjectOwned, Base):
    """A unit of work. `kind` determines the work and its queue; `progress`, once started, is `{done, total, unit}`.

    A check of a file or a job is deleted together with it, and can be listed by it.
    """

    __tablename__ = "checks"
    noun = "check"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str]
    request: Mapped[Json]
    result: Mapped[Json | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    file_id: Mapped[str | None] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    progress: Mapped[Json | None]


def checks_of(project: str, *, kind: str | None, file_id: str | None, job_id: str | None) -> Listing[Check]:
    """Select the project's checks, of one kind, file or job where given."""
    statement = select(Check).where(Check.project_id == project)
    for column, value in ((Check.kind, kind), (Check.file_id, file_id), (Check.job_id, job_id)):
        if value is not None:
            statement = statement.where(column == value)
    return Listing(statement, keys=(Check.created_at, Check.id))


def done_checks(session: Session, file: File, *, kind: str, limit: int) -> Sequence[Check]:
    """Return the checks of a file that have a result, the newest first."""
    done = select(Check).where(Check.file_id == file.id, Check.kind == kind, Check.status == CheckStatus.DONE)
    return session.scalars(done.order_by(Check.created_at.desc()).limit(limit)).all()


def oldest_queued(session: Session) -> datetime | None:
    """Return when the oldest waiting check of all projects was created."""
    return session.scalar(select(func.min(Check.created_at)).where(Check.status == CheckStatus.QUEUED))
