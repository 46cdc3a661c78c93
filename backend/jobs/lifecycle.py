"""States of a job and the transitions between them. Pure.

queued -> validating_files -> running -> succeeded | failed | cancelled
                              running -> pausing -> paused -> queued
"""

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    """Waiting for a worker."""
    VALIDATING = "validating_files"
    """Claimed: the trainer is starting and checks model and data."""
    RUNNING = "running"
    """Training."""
    PAUSING = "pausing"
    """Will pause at the next step."""
    PAUSED = "paused"
    """Stopped at a checkpoint until resumed."""
    SUCCEEDED = "succeeded"
    """Ended with an adapter."""
    FAILED = "failed"
    """Ended by an error, recorded in `error`."""
    CANCELLED = "cancelled"
    """Ended by a person."""


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
OWNED = frozenset({JobState.VALIDATING, JobState.RUNNING, JobState.PAUSING})
"""States in which a worker holds the lease; when it is lost, another worker's claim begins with VALIDATING again."""
LEFT = TERMINAL | {JobState.QUEUED, JobState.PAUSED}
"""States to which a job can go from each of these."""

NEXT: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.VALIDATING, JobState.CANCELLED, JobState.PAUSED}),
    JobState.VALIDATING: OWNED | LEFT,
    JobState.RUNNING: LEFT | {JobState.VALIDATING, JobState.PAUSING},
    JobState.PAUSING: LEFT | {JobState.VALIDATING},
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


def can_become(state: JobState, target: JobState) -> bool:
    return target in NEXT[state]
