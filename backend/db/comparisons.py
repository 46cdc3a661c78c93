"""Comparisons, and which jobs belong to which of their arms."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.projects import ProjectOwned


class Comparison(ProjectOwned, Base):
    """`plan` is the request as it came: arms in their order, seeds, budget."""

    __tablename__ = "comparisons"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    plan: Mapped[Json]
    created_at: Mapped[datetime]


class ComparedJob(Base):
    """One run of one arm."""

    __tablename__ = "compared_jobs"

    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id", ondelete="CASCADE"), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True)
    arm: Mapped[str]
    seed: Mapped[int]
