"""What a training run leaves behind: steps, rollouts, evaluations, checkpoints."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json


class Step(Base):
    """One optimiser step, from 1, and its metrics (RLSD section 4) by name."""

    __tablename__ = "steps"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    metrics: Mapped[Json]


class Rollout(Base):
    """One completion: `number` counts within the step, `row` is the dataset row, `sample` the place in its group.

    `tokens`, kept for a sampled share, holds equally long lists:
    ids, text, logp_student, logp_teacher, logp_contrast, delta, weight, advantage. The contrast and delta are missing
    where an earlier release kept them.
    """

    __tablename__ = "rollouts"
    __table_args__ = (Index(None, "job_id", "row"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    row: Mapped[int]
    sample: Mapped[int]
    completion: Mapped[str]
    record: Mapped[Json]
    advantage: Mapped[float]
    truncated: Mapped[bool]
    has_tokens: Mapped[bool]
    tokens: Mapped[Json | None] = mapped_column(deferred=True)


class Evaluation(Base):
    """Held-out evaluation; `phase` is baseline, interim or trained, `result` its figures with intervals."""

    __tablename__ = "evaluations"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    phase: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    result: Mapped[Json]


class Checkpoint(Base):
    """Everything needed to go on from `step`; `score` is the held-out mean where one was measured at that step."""

    __tablename__ = "checkpoints"

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    step: Mapped[int]
    created_at: Mapped[datetime]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    score: Mapped[float | None]
