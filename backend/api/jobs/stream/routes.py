"""`…/jobs/{id}/stream`: a job's progress as server-sent events, which `Last-Event-ID` resumes.

Events: those of `messages`, `state` when state or step have changed, and a final `end`. An event's id is a position in
the stream. A stream ends without `end` soon after its caller's key was revoked or has expired.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from backend.api.http.dependencies import ObjectId, get_or_404
from backend.api.http.rights import JobsRead
from backend.api.jobs.stream.messages import StreamPosition
from backend.db.engine import open_session
from backend.db.jobs import Job

HEARTBEAT_S = 15

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}", tags=["jobs"])


async def followed_job(request: Request, job_id: ObjectId, caller: JobsRead) -> str:
    """Return the job's id. It is looked up, unless a stream of the caller's project follows the job already."""
    if not request.app.state.feeds.is_followed(job_id, project=caller.project):
        await run_in_threadpool(_require_job, job_id, project=caller.project)
    return job_id


def _require_job(job_id: str, *, project: str) -> None:
    with open_session(project=project, reading=True) as session:
        get_or_404(session, Job, job_id, project=project)


@router.get(
    "/stream",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def stream_job(
    request: Request,
    job_id: Annotated[str, Depends(followed_job)],
    caller: JobsRead,
    last_event_id: Annotated[str | None, Header(max_length=80)] = None,
) -> EventSourceResponse:
    """Stream a job's progress. The events `event`, `metrics` and `evaluation` contain the objects of those lists;
    `rollouts` is `{step, count}`, the completions that can be listed; `state` and finally `end` are the job's state."""
    position = StreamPosition() if last_event_id is None else StreamPosition.parse(last_event_id)
    return EventSourceResponse(request.app.state.feeds.follow(job_id, position, caller), ping=HEARTBEAT_S)
