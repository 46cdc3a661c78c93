"""The identity of a caller: that of a key, or of a member signed in through the identity provider."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi.security import HTTPBearer
from sqlalchemy.orm import Session

from backend import oidc
from backend.db.base import utc_now
from backend.db.engine import open_session
from backend.db.keys import Role, find_member, find_valid_key, projects_of_valid, record_use
from backend.db.projects import DEFAULT_PROJECT
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

    @property
    def is_server_admin(self) -> bool:
        return self.role is Role.ADMIN and self.project == DEFAULT_PROJECT


def authenticate(secret: str) -> Caller:
    """Return the caller with this key or ID token, in a session of its own: a long request must not lock its key's row.

    Raises AppError 401, or 403 for a person without membership.
    """
    with open_session(project=None, reading=True) as session:
        caller = _caller_of_key(session, secret) or _caller_of_member(session, secret)
    if caller is None:
        raise unauthorised("The API key is unknown, expired or revoked.", "invalid_api_key")
    return caller


def still_valid(callers: Collection[Caller]) -> set[Caller]:
    """Return the callers whose key or membership is still valid in the same project, with one query for all."""
    with open_session(project=None, reading=True) as session:
        projects = projects_of_valid(session, {caller.id for caller in callers})
    now = utc_now()
    return {
        caller
        for caller in callers
        if projects.get(caller.id) == caller.project
        and (caller.signed_in_until is None or now < caller.signed_in_until)
    }


def _caller_of_key(session: Session, secret: str) -> Caller | None:
    key = find_valid_key(session, secret)
    if key is None:
        return None
    if key.last_used_at is None or utc_now() - key.last_used_at > LAST_USE_PRECISION:
        record_use(session, key.id)
    return Caller(id=key.id, name=key.name, role=Role(key.role), project=key.project_id)


def _caller_of_member(session: Session, token: str) -> Caller | None:
    """Return the member signed in with this token; None if the identity provider did not issue it."""
    signed_in = oidc.verify_token(token)
    if signed_in is None:
        return None
    member = find_member(session, signed_in.email)
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


def unauthorised(message: str, code: str) -> AppError:
    return AppError(message, status=401, code=code)
