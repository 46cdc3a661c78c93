"""Short work done by a worker on the API's behalf (trying a verifier): the request and, later, its result."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json


class CheckStatus(StrEnum):
    QUEUED = "queued"
    """No worker has finished it yet."""
    DONE = "done"
    """`result` holds the answer."""
    FAILED = "failed"
    """`result` holds `{message, code, param}`: the check itself could not be carried out."""


class Check(Base):
    __tablename__ = "checks"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str]
    request: Mapped[Json]
    result: Mapped[Json | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
