"""The states of a job and the steps between them: pure, one table.

queued -> validating_files -> running -> succeeded | failed | cancelled
                              running -> pausing -> paused -> queued
"""

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    """Waits for a worker."""
    VALIDATING = "validating_files"
    """Claimed: the trainer is starting and looks at model and data."""
    RUNNING = "running"
    """Steps are being taken."""
    PAUSING = "pausing"
    """Will pause at the next step."""
    PAUSED = "paused"
    """Stands still with a checkpoint until resumed."""
    SUCCEEDED = "succeeded"
    """Ended with an adapter."""
    FAILED = "failed"
    """Ended by a fault; `error` says which."""
    CANCELLED = "cancelled"
    """Ended by a person."""


class ControlSignal(StrEnum):
    """What people want of a job; the trainer reads it between steps."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
OWNED = frozenset({JobState.VALIDATING, JobState.RUNNING, JobState.PAUSING})
"""States in which a worker holds the lease."""

NEXT: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.VALIDATING, JobState.CANCELLED, JobState.PAUSED}),
    JobState.VALIDATING: OWNED | TERMINAL | {JobState.QUEUED, JobState.PAUSED},
    JobState.RUNNING: OWNED | TERMINAL | {JobState.QUEUED, JobState.PAUSED},
    JobState.PAUSING: OWNED | TERMINAL | {JobState.QUEUED, JobState.PAUSED},
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


def can_become(state: JobState, target: JobState) -> bool:
    return target in NEXT[state]
