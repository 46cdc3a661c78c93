"""Jobs and their events. State changes only through `backend.jobs.lifecycle` and `backend.jobs.lease`."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Float, ForeignKey, Identity, Index, func, or_, select, type_coerce
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, Json
from backend.db.files import File
from backend.db.pages import Listing
from backend.db.projects import ProjectOwned


class Job(ProjectOwned, Base):
    """A training run.

    `request` is the original body, `spec` all settings as resolved (`RlsdSettings`), `grader` the verifier at the time
    of creation. `checks` summarises the checks before training, `check_details` has their full results
    (backend.jobs.checks); the latter and the manifest are long, and loaded only on access. `device_name` is the GPU it
    last ran on, or "cpu". `fence` counts the claims; each write of a step names its claim's fence (lease.py).
    `max_steps` includes `warm_steps`, those of a warm start. `held_s` is the time for which workers held the job, up to
    `held_since` if one holds it now. `lease_until` is renewed by the supervisor; `progress_at` is the trainer's last
    report, or the claim.
    """

    __tablename__ = "jobs"
    noun = "fine-tuning job"
    __table_args__ = (Index(None, "state", "lease_until"), Index(None, "created_at", "id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    control_signal: Mapped[str]
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
    warm_steps: Mapped[int] = mapped_column(default=0, server_default="0")
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
        """The name of the trained adapter in OpenAI's form: `ft:BASE:OWNER:SUFFIX:ID`."""
        return f"ft:{self.model}:rlsd:{self.suffix or ''}:{self.id.removeprefix('ftjob-')}"


def seconds_held() -> ColumnElement[float]:
    """Compute how long workers have held a job until now; a lost worker counts until its lease expired."""
    now_s = func.extract("epoch", func.least(func.now(), Job.lease_until) - Job.held_since)
    return type_coerce(Job.held_s + func.coalesce(now_s, 0), Float)


class JobEvent(Base):
    """An event of a job, for people: `code` is stable, `message` one sentence, `data` the figures."""

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


def events_after(session: Session, job: Job, *, number: int, limit: int) -> Sequence[JobEvent]:
    """Return the first events of the job after this number, in order."""
    new = select(JobEvent).where(JobEvent.job_id == job.id, JobEvent.number > number)
    return session.scalars(new.order_by(JobEvent.number).limit(limit)).all()


def jobs_by_id(session: Session, ids: Collection[str], *, project: str) -> Sequence[Job]:
    """Return those of the project's jobs that have one of these ids."""
    return session.scalars(select(Job).where(Job.project_id == project, Job.id.in_(ids))).all()


def jobs_of(
    project: str,
    *,
    states: Sequence[str] | None,
    part_of_name: str | None,
    metadata: Iterable[tuple[str, str]],
    without_metadata: bool,
) -> Listing[Job]:
    """Select the project's jobs in one of the states, with this part of name, model or id, and all of the metadata."""
    statement = select(Job).where(Job.project_id == project)
    if states is not None:
        statement = statement.where(Job.state.in_(states))
    if part_of_name is not None:
        texts = (Job.suffix, Job.model, Job.id)
        statement = statement.where(or_(*(each.icontains(part_of_name, autoescape=True) for each in texts)))
    for key, value in metadata:
        statement = statement.where(Job.job_metadata.contains({key: value}))
    if without_metadata:
        statement = statement.where(Job.job_metadata.is_(None))
    return Listing(statement, keys=(Job.created_at, Job.id))


def events_of(job: Job) -> Listing[JobEvent]:
    return Listing(select(JobEvent).where(JobEvent.job_id == job.id), keys=(JobEvent.number, JobEvent.id))


def trained_jobs(session: Session, *, project: str) -> Sequence[Job]:
    """Return the project's jobs whose adapter can be used, the last finished first."""
    trained = select(Job).where(Job.project_id == project, Job.fine_tuned_model.is_not(None))
    return session.scalars(trained.order_by(Job.finished_at.desc())).all()


def job_of_model(session: Session, model: str, *, project: str, locked: bool = False) -> Job | None:
    """Return the project's job that trained this model, `locked` until the transaction ends."""
    if "\0" in model:
        return None
    trained = select(Job).where(Job.project_id == project, Job.fine_tuned_model == model)
    return session.scalar(trained.with_for_update() if locked else trained)


def count_by_state(session: Session) -> dict[str, int]:
    """Count the jobs of all projects."""
    return dict(session.execute(select(Job.state, func.count()).group_by(Job.state)).tuples().all())


def oldest_in_state(session: Session, state: str) -> datetime | None:
    """Return when the oldest such job of all projects was created."""
    return session.scalar(select(func.min(Job.created_at)).where(Job.state == state))


def count_before(session: Session, job: Job, *, state: str) -> int:
    """Count the jobs of all projects in this state that were created before this one."""
    return session.scalar(select(func.count()).where(Job.state == state, Job.created_at < job.created_at)) or 0


def training_file_of(session: Session, job: Job) -> File:
    return session.scalars(select(File).where(File.id == job.training_file, File.project_id == job.project_id)).one()
