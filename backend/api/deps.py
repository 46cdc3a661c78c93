"""What a route may ask for in its signature: the caller, a session, an id. Whoever forgets `Auth` fails a test."""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session
from starlette.types import Scope
from structlog.contextvars import get_contextvars

from backend import oidc
from backend.api.policy import administers, is_administrators, needed_role
from backend.api.rates import limit_rate
from backend.db.audit import Act
from backend.db.base import Base, utc_now
from backend.db.engine import engine, engine_for_reading
from backend.db.jobs import Job
from backend.db.keys import Member, Role, find_valid_key, note_use
from backend.errors import AppError, not_found

READING = ("GET", "HEAD")
LAST_USE_PRECISION = timedelta(minutes=1)
MAX_DEPTH = 64

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="A key of this server.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `id` is a key's, or the e-mail address of somebody who signed in."""

    id: str
    name: str
    role: Role
    project: str


def caller(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Known, and allowed to use this route. Not in the request's session: a long one must not lock its key's row."""
    if credentials is None:
        raise _unauthorised("No API key was sent: use the header 'Authorization: Bearer YOUR_KEY'.", "missing_api_key")
    with Session(engine_for_reading()) as session:
        known = _key_owner(session, credentials.credentials) or _member(session, credentials.credentials)
    if known is None:
        raise _unauthorised("The API key is not known, has expired or has been revoked.", "invalid_api_key")
    _authorise(known, method=request.method, path=request.url.path)
    limit_rate(known.id)
    return known


def _key_owner(session: Session, secret: str) -> Caller | None:
    key = find_valid_key(session, secret)
    if key is None:
        return None
    if key.last_used_at is None or utc_now() - key.last_used_at > LAST_USE_PRECISION:
        note_use(session, key.id)
    return Caller(id=key.id, name=key.name, role=Role(key.role), project=key.project_id)


def _member(session: Session, token: str) -> Caller | None:
    """Who signed in through the identity provider; None where the token is none of its."""
    email = oidc.verified_email(token)
    if email is None:
        return None
    member = session.get(Member, email)
    if member is None:
        raise AppError(
            f"'{email}' has no access to this server: ask an administrator.",
            status=403,
            code="no_member",
            type="permission_error",
        )
    return Caller(id=email, name=email, role=Role(member.role), project=member.project_id)


def _authorise(known: Caller, *, method: str, path: str) -> None:
    needed = needed_role(method, path)
    if not known.role.covers(needed):
        raise _forbidden(f"This needs the role '{needed}', and '{known.name}' has the role '{known.role}'.")
    if is_administrators(path) and not administers(known.role, project=known.project):
        raise _forbidden("This is for administrators of the server: admins of its first project.")


Auth = Annotated[Caller, Depends(caller)]


async def request_session(request: Request, who: Auth) -> AsyncIterator[Session]:
    """One session a request, which sees the caller's project alone; a change is committed with its audit entry.

    It is committed before the answer is sent, and rolled back where the request fails. Both take a thread beyond the
    usual number: those may all be waiting for the connection that is given back here.
    """
    bind = engine_for_reading() if request.method in READING else engine()
    session = Session(bind, expire_on_commit=False, info={"project": who.project})
    try:
        yield session
        await to_thread.run_sync(_commit, session, request, who, limiter=CapacityLimiter(1))
    finally:
        if session.in_transaction():
            await to_thread.run_sync(session.close, limiter=CapacityLimiter(1))


def _commit(session: Session, request: Request, who: Caller) -> None:
    if request.method not in READING:
        write_audit_entry(session, request, who)
    session.commit()


def write_audit_entry(session: Session, request: Request, who: Caller, *, project: str | None = None) -> None:
    """Who did what to which objects, in the transaction that does it; for the log of `project`, or of the caller's."""
    session.flush()
    objects = [*request.path_params.values(), *session.info.get("touched", ())]
    act_of(request, who).note(session, objects=map(str, objects), project=project)


def act_of(request: Request, who: Caller) -> Act:
    """What the request does, for its entry in the audit log."""
    return Act(
        actor=who.id,
        actor_name=who.name,
        action=f"{request.method} {route_template(request.scope)}",
        request_id=str(get_contextvars().get("request_id", "")),
        address=request.client.host if request.client else None,
    )


def route_template(scope: Scope) -> str:
    """The path of a request, with the names of its route's parameters in place of their values."""
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        path = path.replace(f"/{value}", f"/{{{name}}}", 1)
    return path


Database = Annotated[Session, Depends(request_session, scope="function")]
ObjectId = Annotated[str, Path(min_length=1, max_length=200)]

Row = TypeVar("Row", bound=Base)


def found(session: Session, table: type[Row], object_id: str, *, kind: str) -> Row:
    """The row with this id. Raises AppError 404."""
    row = None if "\0" in object_id else session.get(table, object_id)
    if row is None:
        raise not_found(kind, object_id)
    return row


def job_of_path(job_id: ObjectId, _: Auth, session: Database) -> Job:
    job = found(session, Job, job_id, kind="fine-tuning job")
    session.commit()  # gives the connection back: none is held while a request waits for its next thread
    return job


JobOfPath = Annotated[Job, Depends(job_of_path)]


async def storable_body(request: Request) -> None:
    """Refuses JSON that could be read but not kept: NUL, half characters, NaN, endless nesting."""
    if request.method == "POST" and "json" in request.headers.get("content-type", "") and await request.body():
        _check_storable(await request.json(), path=(), depth=0)


def _check_storable(value: Any, *, path: tuple[str, ...], depth: int) -> None:
    param = ".".join(path[:8]) or None
    if depth > MAX_DEPTH:
        raise AppError(f"'{param}' is nested deeper than {MAX_DEPTH} levels.", code="too_deep", param=param)
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise AppError(
                f"'{param}' holds a NUL character or half a character.", code="invalid_characters", param=param
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise AppError(f"'{param}' is not a finite number.", code="invalid_value", param=param)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_storable(name, path=path, depth=depth)
            _check_storable(inner, path=(*path, name), depth=depth + 1)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _check_storable(inner, path=(*path, str(place)), depth=depth + 1)


def _unauthorised(message: str, code: str) -> AppError:
    return AppError(message, status=401, code=code)


def _forbidden(message: str) -> AppError:
    return AppError(message, status=403, code="permission_denied", type="permission_error")
