"""API keys and members. Keys are stored and looked up as a hash, and shown once."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, utc_now
from backend.db.pages import Listing
from backend.db.projects import DEFAULT_PROJECT, ProjectOwned
from backend.ids import new_id

SHOWN_CHARACTERS = 10
SHOWN_SHARE = 4
"""At most 1/`SHOWN_SHARE` of a key is shown: a key chosen by a person may be short."""


class Role(StrEnum):
    """A role in a project; each includes the rights of those before it."""

    VIEWER = "viewer"
    """May view everything."""
    EDITOR = "editor"
    """May also upload, write verifiers, train and delete."""
    ADMIN = "admin"
    """May also manage members, keys, quotas and webhooks. Admins of the first project administer the server."""

    def covers(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


class ApiKey(ProjectOwned, Base):
    """An API key of a project; `prefix` is the part of the secret that may be shown."""

    __tablename__ = "api_keys"
    noun = "key"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    prefix: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str] = mapped_column(default=Role.ADMIN, server_default=Role.ADMIN)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    @property
    def state(self) -> Literal["valid", "expired", "revoked"]:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= utc_now() else "valid"


@dataclass(frozen=True, slots=True)
class ValidKey:
    """The facts about a key that every request needs."""

    id: str
    name: str
    role: str
    project_id: str
    last_used_at: datetime | None


class Member(ProjectOwned, Base):
    """A person who signs in through the organisation's identity provider, identified by e-mail in lower case."""

    __tablename__ = "members"
    noun = "member"

    email: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    created_at: Mapped[datetime]

    @property
    def id(self) -> str:
        """The id used in the audit log."""
        return self.email


def hash_key(secret: str) -> str:
    """Hash a key. SHA-256 is sufficient: a key is 256 random bits, not a password that could be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    return f"rlsd-{secrets.token_urlsafe(32)}"


def create_key(
    session: Session,
    *,
    name: str,
    secret: str | None = None,
    role: Role = Role.ADMIN,
    project: str = DEFAULT_PROJECT,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; returns it and its secret, which is not stored and cannot be shown again."""
    secret = secret or new_secret()
    key = ApiKey(
        id=new_id("key"),
        name=name,
        prefix=secret[: min(SHOWN_CHARACTERS, len(secret) // SHOWN_SHARE)],
        sha256=hash_key(secret),
        role=role,
        project_id=project,
        created_at=utc_now(),
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, secret


def find_valid_key(session: Session, secret: str) -> ValidKey | None:
    """Return the key with this secret, unless it was revoked or has expired."""
    found = session.execute(
        select(ApiKey.id, ApiKey.name, ApiKey.role, ApiKey.project_id, ApiKey.last_used_at).where(
            ApiKey.sha256 == hash_key(secret), _is_valid()
        )
    ).first()
    return None if found is None else ValidKey(*found)


def projects_of_valid(session: Session, ids: Collection[str]) -> dict[str, str]:
    """Return the projects of the valid ones among these keys and members, by their ids."""
    keys = select(ApiKey.id, ApiKey.project_id).where(ApiKey.id.in_(ids), _is_valid())
    members = select(Member.email, Member.project_id).where(Member.email.in_(ids))
    return dict(session.execute(keys.union_all(members)).tuples().all())


def _is_valid() -> ColumnElement[bool]:
    return ApiKey.revoked_at.is_(None) & or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > utc_now())


def record_use(session: Session, key_id: str) -> None:
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=utc_now()))


def all_keys() -> Listing[ApiKey]:
    return Listing(select(ApiKey), keys=(ApiKey.created_at, ApiKey.id))


def find_key(session: Session, key_id: str) -> ApiKey | None:
    """Return the key of any project: for commands on the server."""
    return session.get(ApiKey, key_id)


def revoke(key: ApiKey) -> None:
    """Revoke a key at once, if it is not revoked already."""
    key.revoked_at = key.revoked_at or utc_now()


def revoke_named(session: Session, name: str) -> None:
    """Revoke all keys with this name."""
    session.execute(update(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None)).values(revoked_at=utc_now()))


def count_keys(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ApiKey)) or 0


def keys_of(project: str) -> Listing[ApiKey]:
    return Listing(select(ApiKey).where(ApiKey.project_id == project), keys=(ApiKey.created_at, ApiKey.id))


def members_of(project: str) -> Listing[Member]:
    return Listing(select(Member).where(Member.project_id == project), keys=(Member.email,))


def find_member(session: Session, email: str) -> Member | None:
    """Return the member of any project with this address: a person who signs in belongs to one."""
    return session.get(Member, email)


def add_member(session: Session, email: str, *, role: Role, project: str) -> Member | None:
    """Add a member to the project; None if the address is that of a member of another project."""
    member = Member(email=email, role=role, project_id=project, created_at=utc_now())
    session.add(member)
    try:
        session.flush()
    except IntegrityError:
        return None
    return member
