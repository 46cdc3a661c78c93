"""The messages of a job's stream, and positions in it.

Messages: `event`, `metrics`, `evaluation` (the objects of the lists of those names) and, before a step's metrics,
`rollouts` (`{step, count}`: number of completions that can be listed). A position is how far each of these lists was
read, so it is valid across restarts and processes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import merge

from pydantic import BaseModel
from sqlalchemy.orm import Session
from sse_starlette import ServerSentEvent

from backend.api.http.dependencies import get_or_404
from backend.api.jobs.job_object import JobError, Progress, job_object
from backend.api.jobs.routes import event_object
from backend.api.jobs.runs import evaluation_object, step_object
from backend.db.engine import snapshot
from backend.db.jobs import Job, JobEvent, events_after
from backend.db.training import evaluations_after, steps_after
from backend.errors import AppError
from backend.jobs.events import RESUMED
from backend.jobs.imitation import beyond_imitation_of
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

    def back_to(self, step: int) -> "StreamPosition":
        """Return this position, or the earlier one at which only the steps up to this one were read."""
        return replace(self, step=min(self.step, step), rollouts=min(self.rollouts, step))

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
    """An item of one list: `counter` is the list's field in `StreamPosition`, `number` its value after this item."""

    at: datetime
    event: str
    data: BaseModel
    counter: str
    number: int

    def after(self, position: StreamPosition) -> StreamPosition:
        """Return the position after this message."""
        position = replace(position, **{self.counter: self.number})
        return replace(position, rollouts=max(position.rollouts, position.step))


@dataclass(frozen=True, slots=True)
class StateMessage:
    """The state of a job; equal to another if state and step are."""

    state: JobState
    step: int
    message: bytes = field(compare=False)
    """The event `state`, and `end` if the job has ended."""

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """What follows a position: `messages` as server-sent events, and the `position` after them.

    They are in order of time, but those of one list always in its own order: the clocks of workers may differ.
    `more`: another batch can be read at once; the state is that after all of them.
    """

    messages: bytes
    position: StreamPosition
    state: StateMessage
    more: bool


def read_batch(job_id: str, position: StreamPosition, *, project: str) -> MessageBatch:
    """Read the messages after `position`, in one snapshot, so that the state agrees with the events."""
    with snapshot(project=project) as session:
        job = get_or_404(session, Job, job_id, project=project)
        events = events_after(session, job, number=position.event, limit=BATCH)
        # If the job resumed from an earlier checkpoint, it repeats the steps after it.
        position = position.back_to(min([job.step, *(step for e in events if (step := _back_to(e)) is not None)]))
        lists, more = _new_messages(session, job, position, events=events)
        encoded = []
        for message in merge(*lists, key=lambda each: each.at):
            position = message.after(position)
            encoded.append(_encoded(message.event, message.data.model_dump_json(), position))
        state = _state_message(session, job, position)
        return MessageBatch(messages=b"".join(encoded), position=position, state=state, more=more)


def _back_to(event: JobEvent) -> int | None:
    """Return the step of the checkpoint from which the job resumed with this event."""
    return event.data["step"] if event.code == RESUMED and event.data else None


def _new_messages(
    session: Session, job: Job, position: StreamPosition, *, events: Sequence[JobEvent]
) -> tuple[list[list[StreamMessage]], bool]:
    """Return the new messages of each list, and whether there may be more."""
    steps = steps_after(session, job, step=position.step, limit=BATCH)
    last_evaluation = EPOCH + timedelta(microseconds=position.evaluation_us)
    of_events = [StreamMessage(e.created_at, "event", event_object(e), "event", e.number) for e in events]
    of_steps, of_evaluations = [], []
    for step, rollouts in steps:
        if rollouts and step.step > position.rollouts:
            data = StepRollouts(step=step.step, count=rollouts)
            of_steps.append(StreamMessage(step.created_at, "rollouts", data, "rollouts", step.step))
        of_steps.append(StreamMessage(step.created_at, "metrics", step_object(step), "step", step.step))
    evaluations = evaluations_after(session, job, at=last_evaluation)
    sentence = beyond_imitation_of(session, job) if evaluations else None
    for evaluation in evaluations:
        at = evaluation.created_at
        number = (at - EPOCH) // timedelta(microseconds=1)
        of_evaluations.append(
            StreamMessage(at, "evaluation", evaluation_object(evaluation, sentence=sentence), "evaluation_us", number)
        )
    return [of_events, of_steps, of_evaluations], BATCH in (len(events), len(steps))


def _state_message(session: Session, job: Job, position: StreamPosition) -> StateMessage:
    whole = job_object(session, job)
    data = JobStatus.model_validate(whole.model_dump(include=set(JobStatus.model_fields))).model_dump_json()
    state = JobState(job.state)
    message = b"".join(_encoded(event, data, position) for event in ("state", *(["end"] if state in TERMINAL else [])))
    return StateMessage(state, job.step, message)


def _encoded(event: str, data: str, position: StreamPosition) -> bytes:
    return ServerSentEvent(event=event, data=data, id=str(position)).encode()
