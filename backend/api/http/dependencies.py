"""Dependencies of routes: a session, an id, a job. Their callers are those of `rights`."""

from collections.abc import AsyncIterator
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Path, Request
from sqlalchemy.orm import Session
from structlog.contextvars import get_contextvars

from backend.api.http.authentication import Caller, bearer
from backend.api.http.operations import READING, Operation, operation_of
from backend.db.audit import AuditAction
from backend.db.engine import open_session
from backend.db.jobs import Job
from backend.db.projects import Owned, changed_ids, delete_owned, find_owned
from backend.errors import not_found

MAX_ID = 200
"""Most characters of an id in a path."""


async def authenticated_caller(request: Request, _: Annotated[object, Depends(bearer)]) -> Caller:
    """Return the caller that `Authentication` has stored, whatever right its route requires."""
    caller: Caller = request.state.caller
    return caller


AnyCaller = Annotated[Caller, Depends(authenticated_caller)]
"""For other dependencies: a route names a right."""


async def request_session(request: Request, caller: AnyCaller) -> AsyncIterator[Session]:
    """Yield the request's session, limited to the caller's project; commit a change together with its audit entry.

    Commits before the response is sent, and rolls back if the request fails. Both run on an extra thread: all those of
    the pool may be waiting for the connection that is released here.
    """
    session = open_session(project=caller.project, reading=request.method in READING)
    try:
        yield session
        await to_thread.run_sync(_commit, session, request, caller, limiter=CapacityLimiter(1))
    finally:
        if session.in_transaction():
            await to_thread.run_sync(session.close, limiter=CapacityLimiter(1))


def _commit(session: Session, request: Request, caller: Caller) -> None:
    if _operation(request).is_audited:
        write_audit_entry(session, request, caller)
    session.commit()


def write_audit_entry(session: Session, request: Request, caller: Caller, *, project: str | None = None) -> None:
    """Record who did what to which objects, in the same transaction, in the log of `project` or the caller's own."""
    objects = [*request.path_params.values(), *changed_ids(session)]
    audit_action(request, caller).record(session, objects=map(str, objects), project=project or caller.project)


def audit_action(request: Request, caller: Caller) -> AuditAction:
    """Describe the request for its entry in the audit log."""
    return AuditAction(
        actor=caller.id,
        actor_name=caller.name,
        action=f"{request.method} {_operation(request).path}",
        request_id=str(get_contextvars().get("request_id", "")),
        address=request.client.host if request.client else None,
    )


def _operation(request: Request) -> Operation:
    operation = operation_of(request.scope)
    assert operation is not None, "the request has reached its route"
    return operation


Database = Annotated[Session, Depends(request_session, scope="function")]
ObjectId = Annotated[str, Path(min_length=1, max_length=MAX_ID)]


def get_or_404(session: Session, table: type[Owned], object_id: str, *, project: str) -> Owned:
    """Return the project's row with this id. Raises AppError 404."""
    row = find_owned(session, table, object_id, project=project)
    if row is None:
        raise not_found(table.noun, object_id)
    return row


def delete_or_404(session: Session, table: type[Owned], object_id: str, *, project: str) -> None:
    """Delete the project's row with this id. Raises AppError 404."""
    if not delete_owned(session, table, object_id, project=project):
        raise not_found(table.noun, object_id)


def job_of_path(job_id: ObjectId, caller: AnyCaller, session: Database) -> Job:
    """Return the job with the id in the path, if it belongs to the caller's project. Raises AppError 404."""
    job = get_or_404(session, Job, job_id, project=caller.project)
    session.commit()  # releases the connection: none is held while the request waits for its next thread
    return job


JobOfPath = Annotated[Job, Depends(job_of_path)]
