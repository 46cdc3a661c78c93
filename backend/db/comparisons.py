"""Comparisons, and the jobs of their arms."""

from datetime import datetime

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.pages import Listing
from backend.db.projects import ProjectOwned


class Comparison(ProjectOwned, Base):
    """A comparison of arms. `plan` is the original request: arms in order, seeds, budget."""

    __tablename__ = "comparisons"
    noun = "comparison"

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


def comparisons_of(project: str) -> Listing[Comparison]:
    owned = select(Comparison).where(Comparison.project_id == project)
    return Listing(owned, keys=(Comparison.created_at, Comparison.id))
