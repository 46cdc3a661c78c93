"""Comparisons, and the jobs of their arms."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, Json
from backend.db.jobs import Job
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


def runs_of(session: Session, comparison: Comparison) -> Sequence[tuple[ComparedJob, Job]]:
    """Return the jobs of the comparison in order of creation."""
    runs = (
        select(ComparedJob, Job)
        .join(Job, Job.id == ComparedJob.job_id)
        .where(ComparedJob.comparison_id == comparison.id, Job.project_id == comparison.project_id)
    )
    return session.execute(runs.order_by(Job.created_at, Job.id)).tuples().all()


def comparison_with(session: Session, job: Job) -> str | None:
    """Return the id of a comparison that the job is part of."""
    return session.scalar(select(ComparedJob.comparison_id).where(ComparedJob.job_id == job.id).limit(1))


def comparisons_of(project: str) -> Listing[Comparison]:
    owned = select(Comparison).where(Comparison.project_id == project)
    return Listing(owned, keys=(Comparison.created_at, Comparison.id))
