"""`…/jobs/{id}/stream`: a job's life as server-sent events, to be taken up again with `Last-Event-ID`.

Events: `event`, `metrics`, `evaluation` (the objects of the lists of those names), `state` whenever state or step have
changed, `end` after the last. An id is a place in all three lists, so it holds over restarts and in every process.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from backend.api.deps import Auth, JobOfPath
from backend.api.job_object import JobError, Progress, shown_job
from backend.api.jobs import shown_event
from backend.api.runs import shown_evaluation, shown_step
from backend.api.watch import JobWatch
from backend.db.engine import transaction
from backend.db.jobs import Job, JobEvent
from backend.db.training import Evaluation, Step
from backend.errors import AppError
from backend.jobs.lifecycle import TERMINAL, JobState

BATCH = 500
"""Most objects of a kind read at once; the rest follows at once after."""
HEARTBEAT_S = 15
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["runs"])


class JobStatus(BaseModel):
    """The part of a job that changes while it runs."""

    id: str
    status: JobState
    error: JobError | None
    fine_tuned_model: str | None
    estimated_finish: int | None
    x_progress: Progress


@dataclass(frozen=True, slots=True)
class Place:
    """How far a watcher has read: number of the event, step, and time of the evaluation in microseconds."""

    event: int = 0
    step: int = 0
    evaluation_us: int = 0

    def __str__(self) -> str:
        return f"{self.event}-{self.step}-{self.evaluation_us}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        match = re.fullmatch(r"(\d{1,18})-(\d{1,18})-(\d{1,16})", text, re.ASCII)
        if match is None:
            raise AppError(
                "Last-Event-ID must be the id of an event of this stream.", code="invalid_value", param="last-event-id"
            )
        return cls(*map(int, match.groups()))


@dataclass(slots=True)
class News:
    """`messages`: (event, data, place after it), in order of time. `more`: there was more than a batch."""

    status: JobStatus
    place: Place
    messages: list[tuple[str, BaseModel, Place]] = field(default_factory=list)
    more: bool = False


@router.get(
    "/stream",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def stream_job(
    request: Request, job: JobOfPath, _: Auth, last_event_id: Annotated[str | None, Header(max_length=60)] = None
) -> EventSourceResponse:
    place = Place() if last_event_id is None else Place.parse(last_event_id)
    watch: JobWatch = request.app.state.job_watch
    return EventSourceResponse(_messages(watch, job.id, place), ping=HEARTBEAT_S)


async def _messages(watch: JobWatch, job_id: str, place: Place) -> AsyncIterator[ServerSentEvent]:
    told: tuple[JobState, int] | None = None
    async with watch.watching(job_id) as waiting:
        while True:
            waiting.clear()
            news = await run_in_threadpool(_read_news, job_id, place)
            for event, data, place in news.messages:
                yield ServerSentEvent(event=event, data=data.model_dump_json(), id=str(place))
            now = (news.status.status, news.status.x_progress.step)
            if now != told:
                told = now
                yield ServerSentEvent(event="state", data=news.status.model_dump_json(), id=str(place))
            if news.more:
                continue
            if news.status.status in TERMINAL:
                yield ServerSentEvent(event="end", data=news.status.model_dump_json(), id=str(place))
                return
            await waiting.wait()


def _read_news(job_id: str, place: Place) -> News:
    """One snapshot: what is said of the state agrees with the events that tell of it."""
    with transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return read_news(session, session.get_one(Job, job_id), place)


def read_news(session: Session, job: Job, place: Place) -> News:
    """What has come to pass since `place`."""
    events = session.scalars(
        select(JobEvent)
        .where(JobEvent.job_id == job.id, JobEvent.number > place.event)
        .order_by(JobEvent.number)
        .limit(BATCH)
    ).all()
    steps = session.scalars(
        select(Step).where(Step.job_id == job.id, Step.step > place.step).order_by(Step.step).limit(BATCH)
    ).all()
    seen_until = EPOCH + timedelta(microseconds=place.evaluation_us)
    evaluations = session.scalars(
        select(Evaluation)
        .where(Evaluation.job_id == job.id, Evaluation.created_at > seen_until)
        .order_by(Evaluation.created_at)
    ).all()
    found: list[tuple[datetime, str, BaseModel, dict[str, int]]] = [
        *((e.created_at, "event", shown_event(e), {"event": e.number}) for e in events),
        *((s.created_at, "metrics", shown_step(s), {"step": s.step}) for s in steps),
        *(
            (e.created_at, "evaluation", shown_evaluation(e), {"evaluation_us": _microseconds(e.created_at)})
            for e in evaluations
        ),
    ]
    shown = shown_job(session, job)
    status = JobStatus.model_validate(shown.model_dump(include=set(JobStatus.model_fields)))
    news = News(status=status, place=place, more=BATCH in (len(events), len(steps)))
    for _, event, data, reached in sorted(found, key=lambda message: message[0]):
        news.place = replace(news.place, **reached)
        news.messages.append((event, data, news.place))
    return news


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
