"""Real workers and small real jobs: a random model of a few thousand parameters, a verifier with varying scores."""

import io
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from backend.core.control import ControlSignal
from backend.core.settings.spec import RlsdSettings
from backend.datasets.reading.store import store_dataset
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job, JobEvent
from backend.db.projects import DEFAULT_PROJECT
from backend.ids import new_id
from backend.jobs import control
from backend.jobs.lifecycle import JobState
from tests.processes import STARTER, running_worker, wait_for
from tests.worker.engine.tiny import save_tiny_model

VERIFIER = {
    "type": "python",
    "name": "vowels",
    "source": "def grade(sample, item):\n    text = sample['output_text']\n"
    "    return sum(c < 'n' for c in text) / (len(text) + 1)\n",
}
FAST = {
    "RLSD_LEASE_S": "4",
    "RLSD_HEARTBEAT_S": "0.5",
    "RLSD_SWEEP_S": "1",
    "HF_HUB_OFFLINE": "1",
    "RLSD_TORCH_THREADS": "1",
}
"""Short leases, so that a lost worker is detected within a test."""


def new_job(**settings: Any) -> str:
    """Create a queued job (`queued_job`) and return its id."""
    with transaction() as session:
        return queued_job(session, **settings)


def job_events(job_id: str) -> list[JobEvent]:
    """Return the job's events, oldest first."""
    with transaction() as session:
        return list(session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.number)))


def codes(job_id: str) -> list[str]:
    return [event.code for event in job_events(job_id)]


def listed_models(folder: Path) -> str:
    """Return `RLSD_MODELS` for train workers in tests: a tiny model, the starter, and folders that tests fill."""
    tiny = tiny_model(folder / "tiny")
    of_tests = {name: str(folder / name) for name in ("mine", "larger")}
    return json.dumps({"tiny": tiny, "tests/tiny": tiny, "starter": str(STARTER / "model"), **of_tests})


@contextmanager
def worker(
    queue: str, *, models: Path, log: Path, may_exit: bool = False, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker for one test, with short leases."""
    environment = {**FAST, "RLSD_MODELS": listed_models(models), **environment}
    with running_worker(queue, log=log, may_exit=may_exit, **environment) as process:
        yield process


def tiny_model(folder: Path) -> str:
    """Save the tiny model once, and return its folder."""
    return str(folder) if (folder / "config.json").exists() else save_tiny_model(folder)


def dataset(rows: int) -> bytes:
    lines = [{"question": "q" * (n % 5 + 1) + str(n), "answer": str(n), "solution": f"so {n}"} for n in range(rows)]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def queued_job(
    session: Session,
    *,
    model: str = "tiny",
    grader: dict[str, Any] | None = None,
    rows: int = 12,
    data: bytes | None = None,
    **settings: Any,
) -> str:
    """Store a job as the API does, small enough to train in seconds; `data` replaces the generated rows."""
    spec = RlsdSettings.model_validate(
        {
            "num_generations": 4,
            "batch_size": 2,
            "max_completion_tokens": 6,
            "max_prompt_tokens": 100,
            "learning_rate": 0.01,
            "max_steps": 4,
            "eval_rows": 3,
            "eval_samples": 1,
            "held_out_share": 0.25,
            "checkpoint_interval": 2,
            "lora": {"r": 4, "alpha": 8},
            "device": "cpu",
            "on_failed_check": "go_on",
            **settings,
        }
    )
    file = store_dataset(
        session, io.BytesIO(data or dataset(rows)), project=DEFAULT_PROJECT, filename="rows.jsonl", mapping=None
    )
    job = Job(
        id=new_id("ftjob"),
        state=JobState.QUEUED,
        control_signal=ControlSignal.RUN,
        model=model,
        training_file=file.id,
        validation_file=None,
        seed=11,
        suffix=None,
        request={},
        spec=spec.model_dump(mode="json", by_alias=True),
        grader=grader or VERIFIER,
        created_at=utc_now(),
        max_steps=spec.max_steps,
        project_id=DEFAULT_PROJECT,
    )
    session.add(job)
    session.flush()
    control.enqueue(session, job)
    return job.id


def job_now(job_id: str) -> Job:
    with transaction() as session:
        return session.get_one(Job, job_id, options=[undefer("*")])


def ended(job_id: str, *, timeout_s: float = 120) -> Job:
    """Wait until the job has ended or is paused, and return it."""
    final = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED}
    wait_for(lambda: job_now(job_id).state in final, timeout_s=timeout_s, what=f"the end of {job_id}")
    return job_now(job_id)
