"""`…/jobs/{id}/stream`: a job's life as server-sent events, to be taken up again with `Last-Event-ID`.

Events: those of `messages`, `state` whenever state or step have changed, `end` after the last. An id is a place in all
their lists. A stream ends without `end` when its caller's key is revoked or has expired, soon after.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from backend.api.http.authentication import Caller
from backend.api.http.dependencies import Auth, JobOfPath
from backend.api.jobs.stream.broadcast import Feeds, follow
from backend.api.jobs.stream.messages import StreamMessage, StreamPosition

HEARTBEAT_S = 15

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["runs"])


@router.get(
    "/stream",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def stream_job(
    request: Request, job: JobOfPath, who: Auth, last_event_id: Annotated[str | None, Header(max_length=80)] = None
) -> EventSourceResponse:
    """Events `event`, `metrics`, `evaluation` hold the objects of those lists; `rollouts` is `{step, count}`: so many
    completions of a step can be listed; `state` and, at last, `end` tell how the job stands."""
    place = StreamPosition() if last_event_id is None else StreamPosition.parse(last_event_id)
    return EventSourceResponse(_messages(request.app.state.feeds, job.id, place, who), ping=HEARTBEAT_S)


async def _messages(feeds: Feeds, job_id: str, place: StreamPosition, who: Caller) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(follow(feeds, job_id, place, who)) as news:
        async for said, reached in news:
            event = said.event if isinstance(said, StreamMessage) else "state"
            yield ServerSentEvent(event=event, data=said.data, id=str(reached))
            if not isinstance(said, StreamMessage) and said.ended:
                yield ServerSentEvent(event="end", data=said.data, id=str(reached))
