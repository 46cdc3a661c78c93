"""Authentication, authorisation and rate limiting, before the body is read or a stored response is replayed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi.security import HTTPBearer
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from backend import oidc
from backend.api.http.rate_limit import limit_rate
from backend.api.http.rights import is_for_server_admins, is_server_admin, required_role, requires_authentication
from backend.db.base import utc_now
from backend.db.engine import engine_for_reading
from backend.db.keys import Member, Role, find_valid_key, note_use, projects_of_valid
from backend.errors import AppError

LAST_USE_PRECISION = timedelta(minutes=1)

bearer = HTTPBearer(auto_error=False, scheme_name="key", description="A key of this server.")


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller; `id` is the id of a key, or the e-mail address of a member.

    A member is signed in until `signed_in_until`, a key has none.
    """

    id: str
    name: str
    role: Role
    project: str
    signed_in_until: datetime | None = None


class Authentication:
    """Middleware that authenticates requests to protected paths and stores the caller in `request.state.caller`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and requires_authentication(scope["path"]):
            request = Request(scope)
            credentials = await bearer(request)
            if credentials is None:
                raise _unauthorised(
                    "No API key was sent: send the header 'Authorization: Bearer YOUR_KEY'.", "missing_api_key"
                )
            request.state.caller = await run_in_threadpool(
                _authenticate, credentials.credentials, method=request.method, path=scope["path"]
            )
        await self.app(scope, receive, send)


def still_valid(callers: Collection[Caller]) -> set[Caller]:
    """Return the callers whose key or membership is still valid in the same project, with one query for all."""
    with Session(engine_for_reading()) as session:
        projects = projects_of_valid(session, {who.id for who in callers})
    now = utc_now()
    return {
        who
        for who in callers
        if projects.get(who.id) == who.project and (who.signed_in_until is None or now < who.signed_in_until)
    }


def _authenticate(secret: str, *, method: str, path: str) -> Caller:
    """Authenticate and authorise a caller, in a session of its own: a long request must not lock its key's row."""
    with Session(engine_for_reading()) as session:
        who = _caller_of_key(session, secret) or _caller_of_member(session, secret)
    if who is None:
        raise _unauthorised("The API key is unknown, expired or revoked.", "invalid_api_key")
    _authorise(who, method=method, path=path)
    limit_rate(who.id)
    return who


def _caller_of_key(session: Session, secret: str) -> Caller | None:
    key = find_valid_key(session, secret)
    if key is None:
        return None
    if key.last_used_at is None or utc_now() - key.last_used_at > LAST_USE_PRECISION:
        note_use(session, key.id)
    return Caller(id=key.id, name=key.name, role=Role(key.role), project=key.project_id)


def _caller_of_member(session: Session, token: str) -> Caller | None:
    """Return the member signed in with this token; None if the identity provider did not issue it."""
    signed_in = oidc.verify_token(token)
    if signed_in is None:
        return None
    member = session.get(Member, signed_in.email)
    if member is None:
        raise AppError(
            f"'{signed_in.email}' has no access to this server: ask an administrator to add you.",
            status=403,
            code="no_member",
            type="permission_error",
        )
    return Caller(
        id=signed_in.email,
        name=signed_in.email,
        role=Role(member.role),
        project=member.project_id,
        signed_in_until=signed_in.until,
    )


def _authorise(who: Caller, *, method: str, path: str) -> None:
    required = required_role(method, path)
    if not who.role.covers(required):
        remedy = "for a key with that role" if who.signed_in_until is None else "to give you that role"
        raise _forbidden(
            f"This requires the role '{required}', but '{who.name}' has the role '{who.role}': "
            f"ask an admin of the project {remedy}."
        )
    if is_for_server_admins(path) and not is_server_admin(who.role, project=who.project):
        raise _forbidden("Only administrators of the server (admins of its first project) may do this.")


def _unauthorised(message: str, code: str) -> AppError:
    return AppError(message, status=401, code=code)


def _forbidden(message: str) -> AppError:
    return AppError(message, status=403, code="permission_denied", type="permission_error")
