"""Who asks: known, allowed and counted before anything of a request is read, or answered from what was kept."""

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
from backend.api.http.rights import administers, is_administrators, needed_role, wants_caller
from backend.db.base import utc_now
from backend.db.engine import engine_for_reading
from backend.db.keys import Member, Role, find_valid_key, note_use, projects_of_valid
from backend.errors import AppError

LAST_USE_PRECISION = timedelta(minutes=1)

bearer = HTTPBearer(auto_error=False, scheme_name="key", description="A key of this server.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `id` is a key's, or the e-mail address of somebody who signed in until `signed_in_until`."""

    id: str
    name: str
    role: Role
    project: str
    signed_in_until: datetime | None = None


class Authentication:
    """Lets nobody else pass where a caller is wanted, and writes down who it is in the request's state."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and wants_caller(scope["path"]):
            request = Request(scope)
            credentials = await bearer(request)
            if credentials is None:
                raise _unauthorised(
                    "No API key was sent: use the header 'Authorization: Bearer YOUR_KEY'.", "missing_api_key"
                )
            request.state.caller = await run_in_threadpool(
                _let_in, credentials.credentials, method=request.method, path=scope["path"]
            )
        await self.app(scope, receive, send)


def still_known(callers: Collection[Caller]) -> set[Caller]:
    """Those whose key or membership, in the same project, still holds: one question for all of them."""
    with Session(engine_for_reading()) as session:
        projects = projects_of_valid(session, {who.id for who in callers})
    now = utc_now()
    return {
        who
        for who in callers
        if projects.get(who.id) == who.project and (who.signed_in_until is None or now < who.signed_in_until)
    }


def _let_in(secret: str, *, method: str, path: str) -> Caller:
    """Known and allowed to use this route. Not in the request's session: a long one must not lock its key's row."""
    with Session(engine_for_reading()) as session:
        known = _key_owner(session, secret) or _member(session, secret)
    if known is None:
        raise _unauthorised("The API key is not known, has expired or has been revoked.", "invalid_api_key")
    _authorise(known, method=method, path=path)
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
    signed_in = oidc.signed_in(token)
    if signed_in is None:
        return None
    member = session.get(Member, signed_in.email)
    if member is None:
        raise AppError(
            f"'{signed_in.email}' has no access to this server: ask an administrator.",
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


def _authorise(known: Caller, *, method: str, path: str) -> None:
    needed = needed_role(method, path)
    if not known.role.covers(needed):
        way = "for a key with that role" if known.signed_in_until is None else "to give you that role"
        raise _forbidden(
            f"This needs the role '{needed}', and '{known.name}' has the role '{known.role}': "
            f"ask an admin of the project {way}."
        )
    if is_administrators(path) and not administers(known.role, project=known.project):
        raise _forbidden("This is for administrators of the server: admins of its first project.")


def _unauthorised(message: str, code: str) -> AppError:
    return AppError(message, status=401, code=code)


def _forbidden(message: str) -> AppError:
    return AppError(message, status=403, code="permission_denied", type="permission_error")
