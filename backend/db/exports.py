"""Exports: an adapter merged into a model of its own, as a ZIP that can be downloaded after a comparison with it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base
from backend.db.checks import Check
from backend.db.jobs import Job


class Export(Base):
    """An export, unique by adapter, format and dtype. Its check has progress, figures and errors.

    `checkpoint_id` is None for the final adapter of a succeeded job, `dtype` for the smallest one that agrees; `sha256`
    is the blob of the ZIP, once available.
    """

    __tablename__ = "exports"
    __table_args__ = (
        UniqueConstraint("job_id", "checkpoint_id", "format", "dtype", postgresql_nulls_not_distinct=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    checkpoint_id: Mapped[str | None] = mapped_column(ForeignKey("checkpoints.id", ondelete="CASCADE"), index=True)
    format: Mapped[str]
    dtype: Mapped[str | None]
    created_at: Mapped[datetime]
    check_id: Mapped[str] = mapped_column(ForeignKey("checks.id"), index=True)
    sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)


def exports_of(session: Session, job: Job) -> Sequence[Export]:
    """Return the job's exports, the newest first."""
    of_job = select(Export).where(Export.job_id == job.id)
    return session.scalars(of_job.order_by(Export.created_at.desc(), Export.id)).all()


def find_export(session: Session, job: Job, export_id: str) -> Export | None:
    """Return the job's export with this id."""
    if "\0" in export_id:
        return None
    return session.scalar(select(Export).where(Export.id == export_id, Export.job_id == job.id))


def check_of(session: Session, job: Job, export: Export) -> Check:
    """Return the check that creates this export of the job."""
    return session.scalars(select(Check).where(Check.id == export.check_id, Check.project_id == job.project_id)).one()
