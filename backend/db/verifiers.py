"""Saved verifiers. Each version of a verifier is immutable; saving again adds a version."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, Json
from backend.db.pages import Listing
from backend.db.projects import ProjectOwned


class Verifier(ProjectOwned, Base):
    """A version of a verifier."""

    __tablename__ = "verifiers"
    noun = "verifier"

    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    spec: Mapped[Json]
    spec_hash: Mapped[str]
    created_at: Mapped[datetime]


def newest_versions(project: str) -> Listing[Verifier]:
    """Select the newest version of each of the project's verifiers."""
    owned = select(Verifier.id, func.max(Verifier.version).label("version")).where(Verifier.project_id == project)
    newest = owned.group_by(Verifier.id).subquery()
    statement = select(Verifier).join(newest, (newest.c.id == Verifier.id) & (newest.c.version == Verifier.version))
    return Listing(statement.where(Verifier.project_id == project), keys=(Verifier.created_at, Verifier.id))


def find_version(session: Session, verifier_id: str, *, project: str, version: int | None) -> Verifier | None:
    """Return this version of the project's verifier, or its newest."""
    if "\0" in verifier_id:
        return None
    versions = select(Verifier).where(Verifier.id == verifier_id, Verifier.project_id == project)
    if version is not None:
        versions = versions.where(Verifier.version == version)
    return session.scalar(versions.order_by(Verifier.version.desc()).limit(1))


def versions_of(verifier: Verifier) -> Listing[Verifier]:
    """Select all versions of a verifier."""
    same = select(Verifier).where(Verifier.id == verifier.id, Verifier.project_id == verifier.project_id)
    return Listing(same, keys=(Verifier.version,))
