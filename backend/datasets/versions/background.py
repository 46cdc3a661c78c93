"""Making files from stored ones outside of the process that was asked to: looking at a hundred thousand rows for their
report would hold up everyone else there.

A child process each, forked from the server that also reads uploads and within the same bounds of memory; what it
writes is one transaction, so a child that is lost leaves nothing.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from backend.datasets.reading.isolated import answered_apart
from backend.datasets.versions.create import new_version, split
from backend.datasets.versions.edits import Edit
from backend.datasets.versions.filters import Filter
from backend.db.audit import Act
from backend.db.engine import transaction
from backend.errors import AppError
from backend.quotas import require_storage

AT_A_TIME = 2
BUSY_S = 60.0
STUCK_S = 900.0

_places = threading.BoundedSemaphore(AT_A_TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionAsked:
    """A version of the file, edited and filtered."""

    file_id: str
    project: str
    act: Act
    edits: Sequence[Edit]
    filters: Sequence[Filter]
    filename: str | None

    def made(self) -> list[str]:
        with transaction(project=self.project) as session:
            file = new_version(session, self.file_id, edits=self.edits, filters=self.filters, filename=self.filename)
            return _noted(session, self, made=[file.id])


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitAsked:
    """Its training side and its validation side."""

    file_id: str
    project: str
    act: Act
    share: float | None
    rows: int | None
    seed: int
    stratify_by: str | None

    def made(self) -> list[str]:
        with transaction(project=self.project) as session:
            sides = split(
                session, self.file_id, share=self.share, rows=self.rows, seed=self.seed, stratify_by=self.stratify_by
            )
            return _noted(session, self, made=[file.id for file in sides])


def _noted(session: Session, asked: VersionAsked | SplitAsked, *, made: list[str]) -> list[str]:
    """What was made, once there is room for it and the audit log tells of it."""
    require_storage(session)
    asked.act.note(session, objects=[asked.file_id, *made])
    return made


def made_in_child(asked: VersionAsked | SplitAsked) -> list[str]:
    """The ids of the files that were made. Raises AppError where they cannot be."""
    if not _places.acquire(timeout=BUSY_S):
        raise AppError("Other datasets are being made: try again.", status=503, code="busy", type="server_error")
    try:
        return _answer(asked)
    finally:
        _places.release()


def _answer(asked: VersionAsked | SplitAsked) -> list[str]:
    files = answered_apart(asked.made, what_failed="The new file was not made", deadline_s=STUCK_S)
    if files is None:
        raise AppError(
            "The new file was not made: the process that worked on it failed or took too long; the log says why.",
            status=500,
            code="maker_lost",
            type="server_error",
        )
    return list(files)
