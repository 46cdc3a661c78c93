"""Creation of files from stored ones in child processes: the report on a hundred thousand rows would block the API.

Each child is forked from the fork server that also reads uploads, with the same memory limit. It writes in a single
transaction, so that a lost child leaves nothing behind.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from backend.datasets.reading.isolated import run_isolated
from backend.datasets.versions.create import Split, new_version, split
from backend.datasets.versions.edits import Edit
from backend.datasets.versions.filters import Filter
from backend.db.audit import AuditAction
from backend.db.engine import transaction
from backend.errors import AppError
from backend.quotas import require_storage

CONCURRENT_TASKS = 2
WAIT_S = 60.0
DEADLINE_S = 900.0

_slots = threading.BoundedSemaphore(CONCURRENT_TASKS)
"""Of this process, like the fork server of its children: they share its memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionTask:
    """Creation of a new version of a file, edited and filtered."""

    file_id: str
    project: str
    audit_action: AuditAction
    edits: Sequence[Edit]
    filters: Sequence[Filter]
    filename: str | None

    def create(self) -> list[str]:
        with transaction(project=self.project) as session:
            file = new_version(
                session,
                self.file_id,
                project=self.project,
                edits=self.edits,
                filters=self.filters,
                filename=self.filename,
            )
            return _recorded(session, self, created=[file.id])


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTask:
    """Creation of a training file and a validation file from a file."""

    file_id: str
    project: str
    audit_action: AuditAction
    split: Split

    def create(self) -> list[str]:
        with transaction(project=self.project) as session:
            sides = split(session, self.file_id, self.split, project=self.project)
            return _recorded(session, self, created=[file.id for file in sides])


def _recorded(session: Session, task: VersionTask | SplitTask, *, created: list[str]) -> list[str]:
    """Check the storage quota, write the audit entry, and return the ids of the new files."""
    require_storage(session, project=task.project)
    task.audit_action.record(session, objects=[task.file_id, *created], project=task.project)
    return created


def create_in_child(task: VersionTask | SplitTask) -> list[str]:
    """Run the task in a child process and return the ids of the new files. Raises AppError if it fails."""
    if not _slots.acquire(timeout=WAIT_S):
        raise AppError(
            "Other datasets are being created: try again later.", status=503, code="busy", type="server_error"
        )
    try:
        return _run(task)
    finally:
        _slots.release()


def _run(task: VersionTask | SplitTask) -> list[str]:
    files = run_isolated(task.create, what_failed="The new file was not created", deadline_s=DEADLINE_S)
    if files is None:
        raise AppError(
            "The new file was not created: its process failed or took too long. See the server's log.",
            status=500,
            code="maker_lost",
            type="server_error",
        )
    return list(files)
