"""API keys: stored as a hash, shown once, looked up by the hash."""

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, utc_now
from backend.ids import new_id

SHOWN_CHARACTERS = 10


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    prefix: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


def hash_key(secret: str) -> str:
    """SHA-256 is enough: a key is 256 random bits, not a password that could be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    return f"rlsd-{secrets.token_urlsafe(32)}"


def create_key(session: Session, *, name: str, secret: str | None = None) -> tuple[ApiKey, str]:
    """A new key and its secret, which is not stored and cannot be shown again."""
    secret = secret or new_secret()
    key = ApiKey(
        id=new_id("key"), name=name, prefix=secret[:SHOWN_CHARACTERS], sha256=hash_key(secret), created_at=utc_now()
    )
    session.add(key)
    session.flush()
    return key, secret


def find_valid_key(session: Session, secret: str) -> ApiKey | None:
    return session.scalar(select(ApiKey).where(ApiKey.sha256 == hash_key(secret), ApiKey.revoked_at.is_(None)))


def revoke_named(session: Session, name: str) -> None:
    """All keys of this name become invalid at once."""
    session.execute(update(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None)).values(revoked_at=utc_now()))


def count_keys(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ApiKey)) or 0
