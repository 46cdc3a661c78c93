"""Saved verifiers: immutable versions under one id, and resolution of `{"type": "saved"}`."""

from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.verifiers import Verifier, find_version, versions_of
from backend.errors import AppError, not_found
from backend.ids import new_id
from backend.verifiers.specs import Spec, parse_spec, spec_hash, spec_json

MAX_VERSION = 2**31


def save_verifier(session: Session, *, project: str, name: str, spec: Spec) -> Verifier:
    """Save a new verifier of the project as version 1."""
    return _add(session, project=project, verifier_id=new_id("ver"), version=1, name=name, spec=spec)


def save_version(session: Session, verifier: Verifier, *, name: str | None, spec: Spec) -> Verifier:
    """Save the next version of a verifier; earlier ones do not change. Raises AppError 404 if it was deleted."""
    first = versions_of(verifier).statement.where(Verifier.version == 1)
    if session.scalar(first.with_for_update()) is None:  # one writer at a time
        raise not_found("verifier", verifier.id)
    newest = find_verifier(session, verifier.id, project=verifier.project_id, version=None)
    return _add(
        session,
        project=newest.project_id,
        verifier_id=newest.id,
        version=newest.version + 1,
        name=name or newest.name,
        spec=spec,
    )


def find_verifier(session: Session, verifier_id: str, *, project: str, version: int | None) -> Verifier:
    """Return the given or the newest version of the project's verifier. Raises AppError 404."""
    found = find_version(session, verifier_id, project=project, version=version)
    if found is None:
        raise not_found("verifier", verifier_id if version is None else f"{verifier_id}, version {version}")
    return found


def delete_verifier(session: Session, verifier: Verifier) -> None:
    """Delete all versions; jobs keep their own copies."""
    for version in session.scalars(versions_of(verifier).statement):
        session.delete(version)


def resolve_grader(session: Session, grader: object, *, project: str, param: str) -> tuple[Spec, Verifier | None]:
    """Return the spec of a request, and the saved verifier if it refers to one. Raises AppError with `param`."""
    if not isinstance(grader, dict) or grader.get("type") != "saved":
        return parse_spec(grader, param=param), None
    unknown = sorted(set(grader) - {"type", "id", "version"})
    if unknown:
        raise AppError(
            f"Unknown parameter: '{param}.{unknown[0]}'.", code="unknown_parameter", param=f"{param}.{unknown[0]}"
        )
    verifier_id, version = grader.get("id"), grader.get("version")
    if not isinstance(verifier_id, str):
        raise AppError(f"'{param}.id' must be the id of a verifier.", code="invalid_grader", param=f"{param}.id")
    if version is not None and (type(version) is not int or not 1 <= version <= MAX_VERSION):
        raise AppError(
            f"'{param}.version' must be a whole number from 1.", code="invalid_grader", param=f"{param}.version"
        )
    try:
        verifier = find_verifier(session, verifier_id, project=project, version=version)
    except AppError as error:
        raise AppError(error.message, code="verifier_not_found", param=f"{param}.id") from None
    return parse_spec(verifier.spec, param=param), verifier


def _add(session: Session, *, project: str, verifier_id: str, version: int, name: str, spec: Spec) -> Verifier:
    verifier = Verifier(
        id=verifier_id,
        version=version,
        name=name,
        spec=spec_json(spec),
        spec_hash=spec_hash(spec),
        created_at=utc_now(),
        project_id=project,
    )
    session.add(verifier)
    session.flush()
    return verifier
