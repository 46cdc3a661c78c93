"""What a route may ask for in its signature: the caller, a session, an id. Whoever forgets `Auth` fails a test."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from backend.db.base import Base, utc_now
from backend.db.engine import engine, transaction
from backend.db.jobs import Job
from backend.db.keys import find_valid_key
from backend.errors import AppError, not_found

LAST_USE_PRECISION = timedelta(minutes=1)
MAX_DEPTH = 64

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="A key of this server.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, known by the key they sent."""

    key_id: str
    name: str


def caller(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """In a transaction of its own: a long request must not hold the lock on its key's row."""
    if credentials is None:
        raise _unauthorised("No API key was sent: use the header 'Authorization: Bearer YOUR_KEY'.", "missing_api_key")
    with transaction() as session:
        key = find_valid_key(session, credentials.credentials)
        if key is None:
            raise _unauthorised("The API key is not known or has been revoked.", "invalid_api_key")
        now = utc_now()
        if key.last_used_at is None or now - key.last_used_at > LAST_USE_PRECISION:
            key.last_used_at = now
        return Caller(key_id=key.id, name=key.name)


def request_session() -> Iterator[Session]:
    """One session a request, committed before the answer is sent, rolled back where the request fails."""
    with Session(engine(), expire_on_commit=False) as session:
        yield session
        session.commit()


Auth = Annotated[Caller, Depends(caller)]
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
    return found(session, Job, job_id, kind="fine-tuning job")


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
