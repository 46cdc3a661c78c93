"""The messages of a job's stream, and positions in it.

Messages: `event`, `metrics`, `evaluation` (the objects of the lists of those names) and, before a step's metrics,
`rollouts` (`{step, count}`: number of completions that can be listed). A position is how far each of these lists was
read, so it is valid across restarts and processes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.api.jobs.job_object import JobError, Progress, job_object
from backend.api.jobs.routes import event_object
from backend.api.jobs.runs import evaluation_object, step_object
from backend.db.engine import transaction
from backend.db.jobs import Job, JobEvent
from backend.db.training import Evaluation, Rollout, Step
from backend.errors import AppError
from backend.jobs.events import RESUMED
from backend.jobs.lifecycle import TERMINAL, JobState

BATCH = 100
"""Most objects of a kind read in one batch."""
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
    """The number of completions of a step that can be listed."""

    step: int
    count: int


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A position in a stream: event number, step, time of the evaluation in microseconds, step of the rollouts."""

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
                "Last-Event-ID must be the id of an event from this stream.",
                code="invalid_value",
                param="last-event-id",
            )
        return cls(*map(int, match.groups()))


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """An item of one list: `counter` is the list's field in `StreamPosition`, `number` its value after this item.

    `back_to`: the job resumed from this step with this event and repeats the later ones.
    """

    event: str
    data: str
    counter: str
    number: int
    back_to: int | None = None

    def is_new_at(self, position: StreamPosition) -> bool:
        return self.number > int(getattr(position, self.counter))

    def after(self, position: StreamPosition) -> StreamPosition:
        """Return the position after this message."""
        step, rollouts = position.step, position.rollouts
        position = replace(position, **{self.counter: self.number})
        if self.back_to is not None:
            position = replace(position, step=min(step, self.back_to), rollouts=min(rollouts, self.back_to))
        return replace(position, rollouts=max(position.rollouts, position.step))


@dataclass(frozen=True, slots=True)
class StateMessage:
    """The state of a job, ordered in time by its newest event and its step.

    A step only decreases, and a state only changes, with a new event.
    """

    state: JobState
    step: int
    event: int
    data: str

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    def is_newer_than(self, other: "StateMessage") -> bool:
        """Return whether it differs from `other` and is later."""
        differs = (self.state, self.step) != (other.state, other.step)
        return differs and (self.event, self.step) > (other.event, other.step)


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """`messages` in order of time, and the `position` after them. `more`: another batch can be read at once."""

    state: StateMessage
    position: StreamPosition
    messages: list[StreamMessage]
    more: bool


def read_batch(job_id: str, position: StreamPosition) -> MessageBatch:
    """Read the messages after `position`, in one snapshot, so that the state agrees with the events."""
    with transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        job = session.get_one(Job, job_id)
        events = _events(session, job_id, position)
        back_to = min([job.step, *(step for event in events if (step := _back_to(event)) is not None)])
        if back_to < position.step:  # the job resumed from an earlier checkpoint and repeats those steps
            position = replace(position, step=back_to, rollouts=min(position.rollouts, back_to))
        timed, more = _new_messages(session, job_id, position, events=events)
        messages = [message for _, message in sorted(timed, key=lambda each: each[0])]
        for message in messages:
            position = message.after(position)
        return MessageBatch(state=_state_message(session, job), position=position, messages=messages, more=more)


def newest_position(job_id: str) -> StreamPosition:
    """Return the position after everything stored so far."""
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


def _events(session: Session, job_id: str, position: StreamPosition) -> Sequence[JobEvent]:
    new = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.number > position.event)
    return session.scalars(new.order_by(JobEvent.number).limit(BATCH)).all()


def _back_to(event: JobEvent) -> int | None:
    """Return the step of the checkpoint from which the job resumed with this event."""
    return event.data["step"] if event.code == RESUMED and event.data else None


def _new_messages(
    session: Session, job_id: str, position: StreamPosition, *, events: Sequence[JobEvent]
) -> tuple[list[tuple[datetime, StreamMessage]], bool]:
    """Return the new messages with their times, and whether there may be more."""
    count = select(func.count()).where(Rollout.job_id == Step.job_id, Rollout.step == Step.step).scalar_subquery()
    steps = session.execute(
        select(Step, count).where(Step.job_id == job_id, Step.step > position.step).order_by(Step.step).limit(BATCH)
    ).all()
    last_evaluation = EPOCH + timedelta(microseconds=position.evaluation_us)
    evaluations = session.scalars(
        select(Evaluation)
        .where(Evaluation.job_id == job_id, Evaluation.created_at > last_evaluation)
        .order_by(Evaluation.created_at)
    ).all()
    messages = [
        (e.created_at, replace(_message("event", event_object(e), "event", e.number), back_to=_back_to(e)))
        for e in events
    ]
    for step, rollouts in steps:
        if rollouts:
            data = StepRollouts(step=step.step, count=rollouts)
            messages.append((step.created_at, _message("rollouts", data, "rollouts", step.step)))
        messages.append((step.created_at, _message("metrics", step_object(step), "step", step.step)))
    for evaluation in evaluations:
        at = evaluation.created_at
        messages.append((at, _message("evaluation", evaluation_object(evaluation), "evaluation_us", _microseconds(at))))
    new = [(at, message) for at, message in messages if message.is_new_at(position)]
    return new, BATCH in (len(events), len(steps))


def _message(event: str, data: BaseModel, counter: str, number: int) -> StreamMessage:
    return StreamMessage(event=event, data=data.model_dump_json(), counter=counter, number=number)


def _state_message(session: Session, job: Job) -> StateMessage:
    whole = job_object(session, job)
    status = JobStatus.model_validate(whole.model_dump(include=set(JobStatus.model_fields)))
    event = session.scalar(select(func.max(JobEvent.number)).where(JobEvent.job_id == job.id))
    return StateMessage(state=JobState(job.state), step=job.step, event=event or 0, data=status.model_dump_json())


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
