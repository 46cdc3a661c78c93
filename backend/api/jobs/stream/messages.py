"""What happens to a job, as messages of its stream, and how far somebody has read.

Messages: `event`, `metrics`, `evaluation` (the objects of the lists of those names) and, before a step's metrics,
`rollouts` (`{step, count}`: so many completions can be listed). A place counts how far each of these lists was read, so
it holds over restarts and in every process.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.api.jobs.job_object import JobError, Progress, shown_job
from backend.api.jobs.routes import shown_event
from backend.api.jobs.runs import shown_evaluation, shown_step
from backend.db.engine import transaction
from backend.db.jobs import Job, JobEvent
from backend.db.training import Evaluation, Rollout, Step
from backend.errors import AppError
from backend.jobs.events import RESUMED
from backend.jobs.lifecycle import TERMINAL, JobState

BATCH = 100
"""Most objects of a kind read at once; the rest follows at once after."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JobStatus(BaseModel):
    """The part of a job that changes while it runs."""

    id: str
    status: JobState
    error: JobError | None
    fine_tuned_model: str | None
    estimated_finish: int | None
    x_progress: Progress


class StepRollouts(BaseModel):
    """`count` completions of a step can be listed."""

    step: int
    count: int


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """How far was read: number of the event, step, time of the evaluation in microseconds, step of the rollouts."""

    event: int = 0
    step: int = 0
    evaluation_us: int = 0
    rollouts: int = 0

    def __str__(self) -> str:
        return f"{self.event}-{self.step}-{self.evaluation_us}-{self.rollouts}"

    @classmethod
    def parse(cls, text: str) -> "StreamPosition":
        match = re.fullmatch(r"(\d{1,18})-(\d{1,18})-(\d{1,16})-(\d{1,18})", text, re.ASCII)
        if match is None:
            raise AppError(
                "Last-Event-ID must be the id of an event of this stream.", code="invalid_value", param="last-event-id"
            )
        return cls(*map(int, match.groups()))


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One of a list: `counter` is that of the list in `StreamPosition`, `number` its value once this was read.

    `back_to`: with this event the job went back to this step, and takes those after it again.
    """

    event: str
    data: str
    counter: str
    number: int
    back_to: int | None = None

    def is_new_at(self, place: StreamPosition) -> bool:
        return self.number > int(getattr(place, self.counter))

    def after(self, place: StreamPosition) -> StreamPosition:
        reached = replace(place, **{self.counter: self.number})
        if self.back_to is not None:
            reached = replace(reached, step=min(place.step, self.back_to), rollouts=min(place.rollouts, self.back_to))
        return replace(reached, rollouts=max(reached.rollouts, reached.step))


@dataclass(frozen=True, slots=True)
class StateMessage:
    """How a job stands at a moment, which is told by its newest event and its step.

    Steps only go back with an event that says why, and states only change with one.
    """

    state: JobState
    step: int
    event: int
    data: str

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    def is_newer_than(self, told: "StateMessage") -> bool:
        """Whether it says something else than what was told, and not of an earlier moment."""
        differs = (self.state, self.step) != (told.state, told.step)
        return differs and (self.event, self.step) > (told.event, told.step)


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """`messages` in order of time, `place` after them. `more`: there was more than a batch."""

    standing: StateMessage
    place: StreamPosition
    messages: list[StreamMessage]
    more: bool


def read_news(job_id: str, place: StreamPosition) -> MessageBatch:
    """What has come to pass since `place`, in one snapshot: the state agrees with the events that tell of it."""
    with transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        job = session.get_one(Job, job_id)
        events = _events(session, job_id, place)
        back_to = min([job.step, *(step for event in events if (step := _back_to(event)) is not None)])
        if back_to < place.step:  # it went on from an earlier checkpoint, and takes those steps again
            place = replace(place, step=back_to, rollouts=min(place.rollouts, back_to))
        found, more = _found(session, job_id, place, events=events)
        messages = [message for _, message in sorted(found, key=lambda each: each[0])]
        for message in messages:
            place = message.after(place)
        return MessageBatch(standing=_standing(session, job), place=place, messages=messages, more=more)


def newest_place(job_id: str) -> StreamPosition:
    """Where only what is still to come is new."""
    with transaction() as session:
        event, step, evaluated = session.execute(
            select(
                select(func.max(JobEvent.number)).where(JobEvent.job_id == job_id).scalar_subquery(),
                select(func.max(Step.step)).where(Step.job_id == job_id).scalar_subquery(),
                select(func.max(Evaluation.created_at)).where(Evaluation.job_id == job_id).scalar_subquery(),
            )
        ).one()
    return StreamPosition(
        event=event or 0,
        step=step or 0,
        evaluation_us=0 if evaluated is None else _microseconds(evaluated),
        rollouts=step or 0,
    )


def _events(session: Session, job_id: str, place: StreamPosition) -> Sequence[JobEvent]:
    new = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.number > place.event)
    return session.scalars(new.order_by(JobEvent.number).limit(BATCH)).all()


def _back_to(event: JobEvent) -> int | None:
    """The step of the checkpoint from which the job went on with this event."""
    return event.data["step"] if event.code == RESUMED and event.data else None


def _found(
    session: Session, job_id: str, place: StreamPosition, *, events: Sequence[JobEvent]
) -> tuple[list[tuple[datetime, StreamMessage]], bool]:
    count = select(func.count()).where(Rollout.job_id == Step.job_id, Rollout.step == Step.step).scalar_subquery()
    steps = session.execute(
        select(Step, count).where(Step.job_id == job_id, Step.step > place.step).order_by(Step.step).limit(BATCH)
    ).all()
    seen_until = EPOCH + timedelta(microseconds=place.evaluation_us)
    evaluations = session.scalars(
        select(Evaluation)
        .where(Evaluation.job_id == job_id, Evaluation.created_at > seen_until)
        .order_by(Evaluation.created_at)
    ).all()
    found = [
        (e.created_at, replace(_message("event", shown_event(e), "event", e.number), back_to=_back_to(e)))
        for e in events
    ]
    for step, rollouts in steps:
        if rollouts:
            told = StepRollouts(step=step.step, count=rollouts)
            found.append((step.created_at, _message("rollouts", told, "rollouts", step.step)))
        found.append((step.created_at, _message("metrics", shown_step(step), "step", step.step)))
    for evaluation in evaluations:
        at = evaluation.created_at
        found.append((at, _message("evaluation", shown_evaluation(evaluation), "evaluation_us", _microseconds(at))))
    return [(at, message) for at, message in found if message.is_new_at(place)], BATCH in (len(events), len(steps))


def _message(event: str, data: BaseModel, counter: str, number: int) -> StreamMessage:
    return StreamMessage(event=event, data=data.model_dump_json(), counter=counter, number=number)


def _standing(session: Session, job: Job) -> StateMessage:
    shown = shown_job(session, job)
    status = JobStatus.model_validate(shown.model_dump(include=set(JobStatus.model_fields)))
    event = session.scalar(select(func.max(JobEvent.number)).where(JobEvent.job_id == job.id))
    return StateMessage(state=JobState(job.state), step=job.step, event=event or 0, data=status.model_dump_json())


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
