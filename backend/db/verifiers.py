"""Saved verifiers. Each version of a verifier is immutable; saving again adds a version."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.projects import ProjectOwned


class Verifier(ProjectOwned, Base):
    """A version of a verifier."""

    __tablename__ = "verifiers"

    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    spec: Mapped[Json]
    spec_hash: Mapped[str]
    created_at: Mapped[datetime]
