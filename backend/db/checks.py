"""Work done by a worker on the API's behalf (trying a verifier, sampling): the request and, later, its result."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.projects import ProjectOwned


class CheckStatus(StrEnum):
    QUEUED = "queued"
    """No worker has finished it yet."""
    DONE = "done"
    """`result` holds the answer."""
    FAILED = "failed"
    """`result` holds `{message, code, param}`: the check itself could not be carried out."""


class Check(ProjectOwned, Base):
    """`kind` names what is to be done and so its queue; `progress`, once begun, is `{done, total, unit}`.

    One about a file or a job lives as long as that, and is found by it.
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
