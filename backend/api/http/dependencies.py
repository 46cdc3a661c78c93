"""Dependencies of routes: a session, an id, a job, what can be stored. Their callers are those of `rights`."""

import math
from collections.abc import AsyncIterator
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Path, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from structlog.contextvars import get_contextvars

from backend.api.http.authentication import Caller, bearer
from backend.api.http.operations import READING, Operation, operation_of
from backend.db.audit import AuditAction
from backend.db.engine import engine, engine_for_reading
from backend.db.jobs import Job
from backend.db.projects import Owned, find_owned
from backend.errors import AppError, not_found

MAX_DEPTH = 64
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
    bind = engine_for_reading() if request.method in READING else engine()
    session = Session(bind, expire_on_commit=False, info={"project": caller.project})
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
    session.flush()
    objects = [*request.path_params.values(), *session.info.get("touched", ())]
    audit_action(request, caller).record(session, objects=map(str, objects), project=project)


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


def job_of_path(job_id: ObjectId, caller: AnyCaller, session: Database) -> Job:
    """Return the job with the id in the path, if it belongs to the caller's project. Raises AppError 404."""
    job = get_or_404(session, Job, job_id, project=caller.project)
    session.commit()  # releases the connection: none is held while the request waits for its next thread
    return job


JobOfPath = Annotated[Job, Depends(job_of_path)]


async def require_storable_body(request: Request) -> None:
    """Refuse JSON that cannot be stored: NUL characters, lone surrogates, NaN, nesting deeper than `MAX_DEPTH`.

    Checked in a thread: a large body has millions of values, and other requests must not wait for it.
    """
    if request.method == "POST" and "json" in request.headers.get("content-type", "").lower() and await request.body():
        try:
            value = await request.json()
        except (ValueError, RecursionError):  # where a route takes no body: elsewhere FastAPI has refused it
            raise AppError("The body is not valid JSON.", code="invalid_json") from None
        await run_in_threadpool(_check_storable, value, path=(), depth=0)


def _check_storable(value: Any, *, path: tuple[str, ...], depth: int) -> None:
    param = ".".join(path[:8]) or None
    if depth > MAX_DEPTH:
        raise AppError(f"'{param}' is nested deeper than {MAX_DEPTH} levels.", code="too_deep", param=param)
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise AppError(
                f"'{param}' contains a NUL character or a lone surrogate.", code="invalid_characters", param=param
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise AppError(f"'{param}' is not a finite number.", code="invalid_value", param=param)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_storable(name, path=path, depth=depth)
            _check_storable(inner, path=(*path, name), depth=depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_storable(inner, path=(*path, str(index)), depth=depth + 1)
