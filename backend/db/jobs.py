"""Jobs and their events. State changes only through `backend.jobs.lifecycle` and `backend.jobs.lease`."""

from datetime import datetime

from sqlalchemy import ColumnElement, Float, ForeignKey, Identity, Index, func, type_coerce
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base, Json
from backend.db.projects import ProjectOwned


class Job(ProjectOwned, Base):
    """One training run.

    `request` is the body as it came, `spec` every setting as resolved (backend.jobs.spec), `grader` the verifier as it
    was at creation. `checks`: what was found before training, `check_details` the whole of it (backend.jobs.checks);
    that and the manifest are long, and read only when asked for. `device_name` is that of the GPU it last ran on, or
    "cpu". `fence` counts the claims: a write of a step names the fence it was made under (lease.py). `held_s`: how long
    workers held it, until `held_since` where one does now.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "state", "lease_until"), Index(None, "created_at", "id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    wish: Mapped[str]
    model: Mapped[str]
    training_file: Mapped[str] = mapped_column(ForeignKey("files.id"), index=True)
    validation_file: Mapped[str | None] = mapped_column(ForeignKey("files.id"), index=True)
    seed: Mapped[int]
    suffix: Mapped[str | None]
    job_metadata: Mapped[Json | None]
    request: Mapped[Json]
    spec: Mapped[Json]
    grader: Mapped[Json]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    progress_at: Mapped[datetime | None]
    step: Mapped[int] = mapped_column(default=0)
    max_steps: Mapped[int]
    trained_tokens: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    held_since: Mapped[datetime | None]
    held_s: Mapped[float] = mapped_column(default=0.0, server_default="0")
    fence: Mapped[int] = mapped_column(default=0)
    futile_claims: Mapped[int] = mapped_column(default=0)
    device_name: Mapped[str | None]
    error: Mapped[Json | None]
    fine_tuned_model: Mapped[str | None] = mapped_column(unique=True)
    adapter_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    manifest: Mapped[Json | None] = mapped_column(deferred=True)
    checks: Mapped[Json | None]
    check_details: Mapped[Json | None] = mapped_column(deferred=True)

    @property
    def adapter_name(self) -> str:
        """The name of what it trains, as OpenAI writes it: `ft:BASE:OWNER:SUFFIX:ID`."""
        return f"ft:{self.model}:rlsd:{self.suffix or ''}:{self.id.removeprefix('ftjob-')}"


def seconds_held() -> ColumnElement[float]:
    """How long workers have held a job by now; a worker that was lost until its lease ran out."""
    now_s = func.extract("epoch", func.least(func.now(), Job.lease_until) - Job.held_since)
    return type_coerce(Job.held_s + func.coalesce(now_s, 0), Float)


class JobEvent(Base):
    """What happened, for people: `code` is stable, `message` one sentence, `data` the figures."""

    __tablename__ = "job_events"
    __table_args__ = (Index(None, "job_id", "number"),)

    number: Mapped[int] = mapped_column(Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    level: Mapped[str]
    code: Mapped[str]
    message: Mapped[str]
    data: Mapped[Json | None]
