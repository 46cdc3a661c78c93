"""Reporting of metrics to trackers: across a lost trainer, with a failing tracker, and after training."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.db.engine import transaction
from backend.db.jobs import JobEvent
from backend.db.training import Step
from backend.jobs.lifecycle import JobState
from tests.backend.tracking.reading import mlflow_run, tensorboard_curves, wandb_curves
from tests.processes import processes_of, wait_for
from tests.service.conftest import Api
from tests.service.test_api_runs import take_steps
from tests.service.training import ended, job_now, queued_job, worker

pytestmark = pytest.mark.training

STEPS = 24


def rewards(job_id: str) -> list[tuple[int, float]]:
    with transaction() as session:
        steps = session.scalars(select(Step).where(Step.job_id == job_id).order_by(Step.step)).all()
        return [(step.step, step.metrics["reward_mean"]) for step in steps]


def events_of(job_id: str, *, code: str) -> list[JobEvent]:
    with transaction() as session:
        return list(session.scalars(select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.code == code)))


def test_a_job_that_lost_its_trainer_is_one_run_with_each_step_once(clean_database: object, tmp_path: Path) -> None:
    log, uri = tmp_path / "worker.log", f"sqlite:///{tmp_path}/mlflow.db"
    told_to = {
        "RLSD_TENSORBOARD_DIR": str(tmp_path / "boards"),
        "RLSD_MLFLOW_EXPERIMENT": "jobs",
        "MLFLOW_TRACKING_URI": uri,
        "RLSD_WANDB_PROJECT": "jobs",
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
    }
    with worker("train", models=tmp_path / "tiny", log=log, **told_to):
        with transaction() as session:
            job_id = queued_job(session, max_steps=STEPS, eval_interval=6)
        wait_for(lambda: job_now(job_id).step >= 5, timeout_s=90, what="five steps")
        pid = wait_for(lambda: processes_of(job_id), timeout_s=5, what="the trainer")[0]
        os.kill(pid, signal.SIGKILL)
        job = ended(job_id)
    assert job.state == JobState.SUCCEEDED, log.read_text()
    assert [e.message for e in events_of(job_id, code="tracker_failed")] == []
    expected = [(step, pytest.approx(value, abs=1e-5)) for step, value in rewards(job_id)]
    assert len(expected) == STEPS
    curves_shown = tensorboard_curves(tmp_path / "boards" / job_id)
    assert curves_shown["reward_mean"] == expected
    assert [step for step, _ in curves_shown["evaluation/mean"]] == [0, 6, 12, 18, STEPS]
    run, curves = mlflow_run(uri, "jobs")
    assert (run.info.status, run.data.tags["rlsd.job"], run.data.params["model"]) == ("FINISHED", job_id, "tiny")
    assert curves["reward_mean"] == expected  # a repeated step is identical on the CPU
    last_of_each = dict(wandb_curves(tmp_path)["reward_mean"])
    assert list(last_of_each.items()) == expected


def test_a_tracker_that_fails_is_an_event_without_secrets_and_the_job_goes_on(
    clean_database: object, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    broken = {"RLSD_MLFLOW_EXPERIMENT": "jobs", "MLFLOW_TRACKING_URI": "gopher://ada:open-sesame@127.0.0.1:1"}
    boards = {"RLSD_TENSORBOARD_DIR": str(tmp_path / "boards")}
    with worker("train", models=tmp_path / "tiny", log=log, **broken, **boards):
        with transaction() as session:
            job_id = queued_job(session)
        assert ended(job_id).state == JobState.SUCCEEDED, log.read_text()
    [event] = events_of(job_id, code="tracker_failed")
    assert event.level == "warn"
    assert event.message.startswith("The run is no longer reported to mlflow. ")
    assert "open-sesame" not in event.message + log.read_text()
    assert len(tensorboard_curves(tmp_path / "boards" / job_id)["reward_mean"]) == 4


def test_a_run_is_exported_to_a_tracker_afterwards_and_again(api: Api, tmp_path: Path) -> None:
    job_id = api.job(suffix="later")["id"]
    environment = os.environ | {"RLSD_API_URL": api.url, "RLSD_API_KEY": api.key}

    def export_run(to: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "backend.cli.main", "jobs", "export-run", job_id, "--to", to]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    refused = export_run("tensorboard")
    assert (refused.returncode, "Set RLSD_TENSORBOARD_DIR" in refused.stderr) == (1, True)
    environment["RLSD_TENSORBOARD_DIR"] = str(tmp_path)
    for last in (120, 130):  # more than a page
        take_steps(job_id, first=1 if last == 120 else 121, last=last)
        exported = export_run("tensorboard")
        assert f'"steps": {last}' in exported.stdout, exported.stderr
        assert [step for step, _ in tensorboard_curves(tmp_path / job_id)["reward_mean"]] == list(range(1, last + 1))
