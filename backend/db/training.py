"""Results of a training run: steps, rollouts, evaluations, checkpoints."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, Index, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, Json
from backend.db.blobs import Blob
from backend.db.jobs import Job
from backend.db.pages import Listing


class Step(Base):
    """An optimizer step, counted from 1, and its metrics by name (docs/rlsd.md section 4)."""

    __tablename__ = "steps"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    metrics: Mapped[Json]


class Rollout(Base):
    """A completion: `number` counts within the step, `row` is the dataset row, `sample` the index in its group.

    `hint` is what its prompt contained besides the question, in practice; None for all others, which come first.

    `tokens`, stored for a sampled share of rollouts, has lists of equal length: ids, text, logp_student, logp_teacher,
    logp_contrast, delta, weight, advantage. Rows of earlier releases lack logp_contrast and delta.
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
    hint: Mapped[str | None]
    has_tokens: Mapped[bool]
    tokens: Mapped[Json | None] = mapped_column(deferred=True)


class Evaluation(Base):
    """A held-out evaluation; `phase` is baseline, warm, interim or trained, `result` its figures with intervals."""

    __tablename__ = "evaluations"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    phase: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    result: Mapped[Json]


class Checkpoint(Base):
    """Everything needed to resume from `step`; `score` is the held-out mean, if measured at that step."""

    __tablename__ = "checkpoints"

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    step: Mapped[int]
    created_at: Mapped[datetime]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    score: Mapped[float | None]


def steps_of(job: Job) -> Listing[Step]:
    return Listing(select(Step).where(Step.job_id == job.id), keys=(Step.step,))


def checkpoints_of(job: Job) -> Listing[Checkpoint]:
    return Listing(select(Checkpoint).where(Checkpoint.job_id == job.id), keys=(Checkpoint.step, Checkpoint.id))


def sizes_of_checkpoints(session: Session, job: Job) -> dict[str, int]:
    """Return the size in bytes of each of the job's checkpoints, by id."""
    sizes = select(Checkpoint.id, Blob.size_bytes).join(Blob, Blob.sha256 == Checkpoint.sha256)
    return dict(session.execute(sizes.where(Checkpoint.job_id == job.id)).tuples().all())


def find_checkpoint(session: Session, job: Job, checkpoint_id: str) -> Checkpoint | None:
    """Return the job's checkpoint with this id."""
    if "\0" in checkpoint_id:
        return None
    return session.scalar(select(Checkpoint).where(Checkpoint.id == checkpoint_id, Checkpoint.job_id == job.id))


def checkpoint_at(session: Session, job: Job, *, step: int) -> Checkpoint | None:
    """Return the job's checkpoint of this step, if it is kept."""
    return session.scalar(select(Checkpoint).where(Checkpoint.job_id == job.id, Checkpoint.step == step))


def evaluations_of(session: Session, job: Job) -> Sequence[Evaluation]:
    """Return the job's evaluations in order."""
    of_job = select(Evaluation).where(Evaluation.job_id == job.id)
    return session.scalars(of_job.order_by(Evaluation.step, Evaluation.created_at)).all()


def step_of_model(session: Session, job: Job) -> int:
    """Return the step whose adapter is that of a job which is done: the last one, or the best if that is kept."""
    kept = session.scalar(select(Evaluation.step).where(Evaluation.job_id == job.id, Evaluation.phase == "trained"))
    return job.step if kept is None else kept


def held_out_figures(session: Session, jobs: Collection[Job]) -> Sequence[tuple[str, str, Json]]:
    """Return job id, phase and figures, without the questions, of the evaluations before training, after a warm start
    and after training.
    """
    figures = Evaluation.result.op("-", return_type=Evaluation.result.type)("per_question")
    of_jobs = select(Evaluation.job_id, Evaluation.phase, figures).where(
        Evaluation.job_id.in_([job.id for job in jobs]), Evaluation.phase.in_(("baseline", "warm", "trained"))
    )
    return session.execute(of_jobs).tuples().all()


def evaluation_times(session: Session, jobs: Collection[Job]) -> Sequence[tuple[str, int, str, datetime]]:
    """Return (job id, step, phase, time) of each evaluation of the jobs, in this order."""
    key = (Evaluation.job_id, Evaluation.step, Evaluation.phase)
    times = select(*key, Evaluation.created_at).where(Evaluation.job_id.in_([job.id for job in jobs]))
    return session.execute(times.order_by(*key)).tuples().all()


def seconds_of_evaluations(session: Session, job: Job) -> dict[int, float]:
    """Return the duration of each of the job's evaluations by step; 0 if it was not recorded."""
    seconds = Evaluation.result["seconds"].as_float()
    found = session.execute(select(Evaluation.step, seconds).where(Evaluation.job_id == job.id))
    return {step: took or 0.0 for step, took in found}


def newest_steps(session: Session, job: Job, *, after: int, limit: int) -> Sequence[tuple[int, datetime]]:
    """Return number and time of the job's last steps after step `after`, the newest first."""
    steps = select(Step.step, Step.created_at).where(Step.job_id == job.id, Step.step > after)
    return session.execute(steps.order_by(Step.step.desc()).limit(limit)).tuples().all()


def metrics_of(session: Session, job: Job) -> Sequence[tuple[int, Json]]:
    """Return number and metrics of all steps of the job, in order."""
    steps = select(Step.step, Step.metrics).where(Step.job_id == job.id)
    return session.execute(steps.order_by(Step.step)).tuples().all()


def sum_of_metrics(session: Session, job: Job, names: Collection[str]) -> float:
    """Sum these metrics over all steps of the job; a missing value counts as 0."""
    sums = [func.coalesce(func.sum(Step.metrics[name].as_float()), 0.0) for name in names]
    return float(sum(session.execute(select(*sums).where(Step.job_id == job.id)).one()))


def newest_metrics(session: Session, *, states: Collection[str]) -> list[tuple[str, Json]]:
    """Return id and metrics of the newest step of each job in these states, of all projects."""
    newest = select(Step.job_id, Step.metrics).join(Job, (Job.id == Step.job_id) & (Job.step == Step.step))
    return list(session.execute(newest.where(Job.state.in_(states))).tuples())


def steps_after(session: Session, job: Job, *, step: int, limit: int) -> list[tuple[Step, int]]:
    """Return the first steps of the job after this one, in order, each with its number of rollouts without practice."""
    of_step = (Rollout.job_id == Step.job_id, Rollout.step == Step.step, Rollout.hint.is_(None))
    count = select(func.count()).where(*of_step).scalar_subquery()
    new = select(Step, count).where(Step.job_id == job.id, Step.step > step)
    return [(found, rollouts) for found, rollouts in session.execute(new.order_by(Step.step).limit(limit))]


def evaluations_after(session: Session, job: Job, *, at: datetime) -> Sequence[Evaluation]:
    """Return the evaluations of the job after this moment, in order."""
    new = select(Evaluation).where(Evaluation.job_id == job.id, Evaluation.created_at > at)
    return session.scalars(new.order_by(Evaluation.created_at)).all()
