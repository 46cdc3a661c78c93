"""`…/jobs/{id}/stream`: a job's progress as server-sent events, which `Last-Event-ID` resumes.

Events: those of `messages`, `state` when state or step have changed, and a final `end`. An event's id is a position in
the stream. A stream ends without `end` soon after its caller's key was revoked or has expired.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from backend.api.http.authentication import Caller
from backend.api.http.dependencies import JobOfPath
from backend.api.http.rights import JobsRead
from backend.api.jobs.stream.broadcast import Feeds, follow_job
from backend.api.jobs.stream.messages import StreamMessage, StreamPosition

HEARTBEAT_S = 15

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["jobs"])


@router.get(
    "/stream",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def stream_job(
    request: Request, job: JobOfPath, who: JobsRead, last_event_id: Annotated[str | None, Header(max_length=80)] = None
) -> EventSourceResponse:
    """Stream a job's progress. The events `event`, `metrics` and `evaluation` contain the objects of those lists;
    `rollouts` is `{step, count}`, the completions that can be listed; `state` and finally `end` are the job's state."""
    position = StreamPosition() if last_event_id is None else StreamPosition.parse(last_event_id)
    return EventSourceResponse(_messages(request.app.state.feeds, job.id, position, who), ping=HEARTBEAT_S)


async def _messages(feeds: Feeds, job_id: str, position: StreamPosition, who: Caller) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(follow_job(feeds, job_id, position, who)) as messages:
        async for message, reached in messages:
            event = message.event if isinstance(message, StreamMessage) else "state"
            yield ServerSentEvent(event=event, data=message.data, id=str(reached))
            if not isinstance(message, StreamMessage) and message.ended:
                yield ServerSentEvent(event="end", data=message.data, id=str(reached))
