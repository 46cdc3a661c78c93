"""Jobs on two devices with the real supervisor: two trainer processes act as one."""

import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend.db.engine import transaction
from backend.db.jobs import Job, JobEvent
from backend.db.projects import DEFAULT_PROJECT
from backend.db.training import Rollout, Step
from backend.jobs import control
from backend.jobs.lifecycle import JobState
from tests.processes import processes_of, wait_for
from tests.service.training import ended, job_now, queued_job, worker

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("clean_database")]


def new_job(*, devices: int = 2, **settings: object) -> str:
    with transaction() as session:
        return queued_job(session, devices=devices, **settings)


def step_metrics(job_id: str) -> list[tuple[float, ...]]:
    """Return metrics of the job's steps."""
    with transaction() as session:
        steps = session.scalars(select(Step.metrics).where(Step.job_id == job_id).order_by(Step.step))
        return [tuple(metrics[name] for name in ("reward_mean", "loss", "gradient_norm")) for metrics in steps]


def codes(job_id: str) -> list[str]:
    with transaction() as session:
        return list(session.scalars(select(JobEvent.code).where(JobEvent.job_id == job_id)))


def counts(job_id: str) -> tuple[int, ...]:
    with transaction() as session:
        return tuple(
            session.scalar(select(func.count()).select_from(table).where(table.job_id == job_id)) or 0
            for table in (Step, Rollout)
        )


def test_a_job_on_two_devices_ends_like_the_same_job_on_one(train_worker: Path) -> None:
    alone = new_job(devices=1, learning_rate=0.001)
    assert ended(alone).state == JobState.SUCCEEDED, train_worker.read_text()
    for sharding in ("replicated", "sharded"):
        shared = new_job(learning_rate=0.001, sharding=sharding)
        wait_for(lambda job_id=shared: len(processes_of(job_id)) == 2, timeout_s=60, what="two trainers")
        job = ended(shared)
        assert job.state == JobState.SUCCEEDED, (job.error, train_worker.read_text())
        assert job.adapter_sha256 is not None
        assert counts(shared) == counts(alone) == (4, 4 * 2 * 4)
        assert codes(shared).count("job.succeeded") == 1
        for one, two in zip(step_metrics(alone), step_metrics(shared), strict=True):
            assert two == pytest.approx(one, rel=1e-2, abs=1e-4)


def test_it_pauses_goes_on_and_survives_the_death_of_one_of_its_trainers(train_worker: Path) -> None:
    job_id = new_job(max_steps=100_000)
    wait_for(lambda: job_now(job_id).step >= 3, timeout_s=90, what="three steps")
    with transaction() as session:
        control.pause(session, session.get_one(Job, job_id))
    paused = ended(job_id)
    assert paused.state == JobState.PAUSED, train_worker.read_text()
    wait_for(lambda: not processes_of(job_id), timeout_s=10, what="the end of both trainers")
    with transaction(project=DEFAULT_PROJECT) as session:
        control.resume(session, session.get_one(Job, job_id))
    wait_for(lambda: job_now(job_id).step > paused.step, timeout_s=90, what="a step after the pause")

    first = processes_of(job_id)
    os.kill(max(first), signal.SIGKILL)
    wait_for(lambda: not set(first) & set(processes_of(job_id)), timeout_s=30, what="the end of the other one")
    at = wait_for(lambda: job_now(job_id).fence > paused.fence + 1 and job_now(job_id).step, timeout_s=60, what="retry")
    wait_for(lambda: job_now(job_id).step > at + 1, timeout_s=90, what="steps after the loss")
    assert codes(job_id).count("trainer.lost") == 1
    with transaction() as session:
        control.cancel(session, session.get_one(Job, job_id))
    assert ended(job_id).state == JobState.CANCELLED


def test_a_worker_that_goes_leaves_its_job_in_order_and_one_that_is_killed_takes_both_trainers_along(
    models: Path, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with worker("train", models=models, log=log):
        job_id = new_job(max_steps=100_000)
        wait_for(lambda: job_now(job_id).step >= 2, timeout_s=90, what="two steps")
    assert job_now(job_id).state == JobState.QUEUED, log.read_text()
    assert "trainer.lost" not in codes(job_id)
    with worker("train", models=models, log=log, may_exit=True) as second:
        wait_for(lambda: len(processes_of(job_id)) == 2, timeout_s=60, what="two trainers")
        os.kill(second.pid, signal.SIGKILL)
        second.wait()
        wait_for(lambda: not processes_of(job_id), timeout_s=10, what="the trainers' death with their worker")


def test_a_fault_of_both_trainers_is_written_once(train_worker: Path) -> None:
    job = ended(job_id := new_job(model="nowhere-to-be-found"))
    assert job.state == JobState.FAILED
    assert "nowhere-to-be-found" in (job.error or {})["message"]
    assert codes(job_id).count("trainer.fault") == 1
