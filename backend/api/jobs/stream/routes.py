"""`…/jobs/{id}/stream`: a job's progress as server-sent events, which `Last-Event-ID` resumes.

Events: those of `messages`, `state` when state or step have changed, and a final `end`. An event's id is a position in
the stream. A stream ends without `end` soon after its caller's key was revoked or has expired.
"""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from sse_starlette import EventSourceResponse

from backend.api.http.dependencies import Auth, JobOfPath
from backend.api.jobs.stream.messages import StreamPosition

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
    """Stream a job's progress. The events `event`, `metrics` and `evaluation` contain the objects of those lists;
    `rollouts` is `{step, count}`, the completions that can be listed; `state` and finally `end` are the job's state."""
    position = StreamPosition() if last_event_id is None else StreamPosition.parse(last_event_id)
    return EventSourceResponse(request.app.state.feeds.follow(job.id, position, who), ping=HEARTBEAT_S)
