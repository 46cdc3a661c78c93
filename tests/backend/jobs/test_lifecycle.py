"""The table of state transitions."""

import pytest

from backend.jobs.lifecycle import NEXT, OWNED, TERMINAL, JobState, can_become


def test_every_state_has_an_entry() -> None:
    assert set(NEXT) == set(JobState)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_follows_an_end(state: JobState) -> None:
    assert not NEXT[state]


@pytest.mark.parametrize("state", sorted(set(JobState) - TERMINAL))
def test_a_living_job_can_be_cancelled(state: JobState) -> None:
    assert can_become(state, JobState.CANCELLED)


@pytest.mark.parametrize("state", sorted(OWNED))
def test_a_lost_job_can_be_queued_again(state: JobState) -> None:
    assert can_become(state, JobState.QUEUED)


def test_every_state_is_reached_from_the_queue() -> None:
    reached = {JobState.QUEUED}
    while more := {after for state in reached for after in NEXT[state]} - reached:
        reached |= more
    assert reached == set(JobState)
