"""Checks: work that a worker does for the API, such as trying a verifier or sampling; the request and its result."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
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
