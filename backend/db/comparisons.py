"""Comparisons, and the jobs of their arms."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.projects import ProjectOwned


class Comparison(ProjectOwned, Base):
    """A comparison of arms. `plan` is the original request: arms in order, seeds, budget."""

    __tablename__ = "comparisons"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    plan: Mapped[Json]
    created_at: Mapped[datetime]


class ComparedJob(Base):
    """A run of an arm with one seed."""

    __tablename__ = "compared_jobs"

    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id", ondelete="CASCADE"), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True)
    arm: Mapped[str]
    seed: Mapped[int]
