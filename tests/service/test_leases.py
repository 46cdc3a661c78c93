"""Ownership of jobs: one claimant wins, until the lease ends; the fence keeps a lost worker from writing."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from backend.core.control import ControlSignal
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job, JobEvent
from backend.db.projects import DEFAULT_PROJECT
from backend.db.training import Step
from backend.errors import AppError
from backend.jobs import control
from backend.jobs.lease import Lease, LeaseLostError, claim
from backend.jobs.lifecycle import JobState
from backend.queue import TRAIN_QUEUE, TRAIN_TASK, queue_length, send_after_commit
from backend.stack.embedded import Services
from tests.processes import running_worker, wait_for
from tests.service.records import stored_job

pytestmark = pytest.mark.usefixtures("clean_database")


def new_job(**values: object) -> str:
    with transaction() as session:
        return stored_job(session, **values).id  # type: ignore[arg-type]


def claim_job(job_id: str, owner: str = "worker-1") -> Lease:
    with transaction() as session:
        lease = claim(session, job_id, owner=owner, lease_s=60)
    assert lease is not None
    return lease


def expire_lease(job_id: str) -> None:
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_until=func.now() - timedelta(seconds=1)))


def state_of(job_id: str) -> str:
    with transaction() as session:
        return session.get_one(Job, job_id).state


def test_of_many_claimants_one_wins() -> None:
    job_id = new_job()
    leases: list[Lease | None] = []
    start = threading.Barrier(8)

    def contend(number: int) -> None:
        start.wait()
        with transaction() as session:
            leases.append(claim(session, job_id, owner=f"worker-{number}", lease_s=60))

    threads = [threading.Thread(target=contend, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lease.fence for lease in leases if lease] == [1]


def test_a_lease_that_ran_out_can_be_claimed_and_its_fence_grows() -> None:
    job_id = new_job()
    first = claim_job(job_id)
    with transaction() as session:
        assert claim(session, job_id, owner="worker-2", lease_s=60) is None
    expire_lease(job_id)
    assert claim_job(job_id, "worker-2").fence == first.fence + 1


def test_a_lost_worker_can_neither_renew_nor_write_nor_finish() -> None:
    job_id = new_job()
    lost = claim_job(job_id)
    expire_lease(job_id)
    claim_job(job_id, "worker-2")
    with transaction() as session, pytest.raises(LeaseLostError):
        lost.renew(session, lease_s=60)
    with pytest.raises(LeaseLostError), lost.held() as held:
        held.end(JobState.SUCCEEDED)
    assert state_of(job_id) == JobState.VALIDATING


def test_a_renewal_reads_what_is_wanted() -> None:
    job_id = new_job()
    lease = claim_job(job_id)
    with lease.held() as held:
        held.begin()
    with transaction() as session:
        assert lease.renew(session, lease_s=60) is ControlSignal.RUN
    with transaction() as session:
        control.pause(session, session.get_one(Job, job_id))
    with transaction() as session:
        assert lease.renew(session, lease_s=60) is ControlSignal.PAUSE
    assert state_of(job_id) == JobState.PAUSING


@pytest.mark.parametrize("pausing", [False, True])
def test_a_job_begins_once_in_a_claim(pausing: bool) -> None:
    job_id = new_job()
    lease = claim_job(job_id)
    with lease.held() as held:
        held.begin()
        held.session.add(Step(job_id=job_id, step=1, created_at=utc_now(), metrics={}))
    if pausing:
        with transaction() as session:
            control.pause(session, session.get_one(Job, job_id))
    with pytest.raises(AssertionError), lease.held() as held:
        held.begin()
    with transaction() as session:
        assert session.get(Step, (job_id, 1)) is not None


def test_the_sweep_puts_a_lost_job_back_and_nudges_for_it() -> None:
    job_id = new_job()
    claim_job(job_id)
    expire_lease(job_id)
    with transaction() as session:
        assert control.sweep(session) == 1
    assert state_of(job_id) == JobState.QUEUED
    assert queue_length(TRAIN_QUEUE) == 1
    with transaction() as session:
        messages = session.scalars(select(JobEvent.message).where(JobEvent.job_id == job_id)).all()
    assert messages == ["The worker worker-1 was lost. The job is queued again."]


@pytest.mark.slow
def test_a_worker_that_only_checks_sweeps_too(tmp_path: Path) -> None:
    job_id = new_job()
    claim_job(job_id)
    expire_lease(job_id)
    with running_worker("check", log=tmp_path / "log"):
        wait_for(lambda: state_of(job_id) == JobState.QUEUED, timeout_s=60, what="the job to be put back")


def test_a_sweep_leaves_living_leases_alone_and_does_not_pile_up_nudges() -> None:
    owned, queued = new_job(), new_job()
    claim_job(owned)
    for _ in range(3):
        with transaction() as session:
            assert control.sweep(session) == 0
        with transaction() as session:
            control.resend_queued(session)
    assert state_of(owned) == JobState.VALIDATING
    assert state_of(queued) == JobState.QUEUED
    assert queue_length(TRAIN_QUEUE) == 1


@pytest.mark.parametrize(
    ("signal", "end"),
    [(ControlSignal.CANCEL, JobState.CANCELLED), (ControlSignal.PAUSE, JobState.PAUSED)],
    ids=["cancel", "pause"],
)
def test_a_signal_to_a_worker_that_died_is_obeyed_by_the_sweep(signal: ControlSignal, end: JobState) -> None:
    job_id = new_job()
    claim_job(job_id)
    with transaction() as session:
        (control.cancel if signal is ControlSignal.CANCEL else control.pause)(session, session.get_one(Job, job_id))
    expire_lease(job_id)
    with transaction() as session:
        control.sweep(session)
    assert state_of(job_id) == end


def test_a_cancel_that_comes_while_the_job_is_being_paused_wins() -> None:
    job_id = new_job()
    lease = claim_job(job_id)
    with lease.held() as held:
        held.begin()
    with transaction() as session:
        control.pause(session, session.get_one(Job, job_id))
    with transaction() as session:
        control.cancel(session, session.get_one(Job, job_id))
    with lease.held() as held:
        held.pause()
    assert state_of(job_id) == JobState.CANCELLED


def test_orderly_departures_are_no_sign_of_a_deadly_job() -> None:
    job_id = new_job()
    for _ in range(2 * control.FUTILE_CLAIMS_LIMIT):
        lease = claim_job(job_id)
        with lease.held() as held:
            held.release(why="The worker was stopped.", orderly=True)
    assert state_of(job_id) == JobState.QUEUED


def test_a_job_that_keeps_killing_its_trainer_is_given_up() -> None:
    job_id = new_job()
    for _ in range(control.FUTILE_CLAIMS_LIMIT):
        claim_job(job_id)
        expire_lease(job_id)
        with transaction() as session:
            control.sweep(session)
    with transaction() as session:
        job = session.get_one(Job, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert "lower micro_batch_tokens" in job.error["message"]


def test_a_queued_job_is_cancelled_or_paused_at_once_and_a_paused_one_goes_on() -> None:
    cancelled, paused = new_job(), new_job()
    with transaction() as session:
        assert control.cancel(session, session.get_one(Job, cancelled)).state == JobState.CANCELLED
        assert control.pause(session, session.get_one(Job, paused)).state == JobState.PAUSED
    with transaction(project=DEFAULT_PROJECT) as session:
        assert control.resume(session, session.get_one(Job, paused)).state == JobState.QUEUED
    assert queue_length(TRAIN_QUEUE) == 1


@pytest.mark.parametrize("act", [control.cancel, control.pause, control.resume])
def test_an_ended_job_takes_no_signals(act: object) -> None:
    job_id = new_job(state=JobState.SUCCEEDED)
    with transaction() as session, pytest.raises(AppError) as refusal:
        act(session, session.get_one(Job, job_id))  # type: ignore[operator]
    assert refusal.value.status == 409


def test_a_nudge_is_sent_after_the_commit_and_not_after_a_rollback(clean_database: Services) -> None:
    with pytest.raises(RuntimeError), transaction() as session:
        send_after_commit(session, TRAIN_TASK, "ftjob-1")
        raise RuntimeError
    assert queue_length(TRAIN_QUEUE) == 0
    with transaction() as session:
        send_after_commit(session, TRAIN_TASK, "ftjob-1")
        session.execute(select(1))
        assert queue_length(TRAIN_QUEUE) == 0
    assert queue_length(TRAIN_QUEUE) == 1
