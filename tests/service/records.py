"""Database rows created directly, for tests below the API."""

import json

from sqlalchemy.orm import Session

from backend import blobs
from backend.core.control import ControlSignal
from backend.db.base import Json, utc_now
from backend.db.files import File
from backend.db.jobs import Job
from backend.db.projects import DEFAULT_PROJECT
from backend.ids import new_id
from backend.jobs.lifecycle import JobState


def stored_file(session: Session, content: bytes = b"{}\n") -> File:
    blob = blobs.put(session, [content])
    file = File(
        id=new_id("file"),
        filename="rows.jsonl",
        purpose="fine-tune",
        size_bytes=blob.size_bytes,
        sha256=blob.sha256,
        created_at=utc_now(),
        shape="question_answer",
        mapping=None,
        row_count=1,
        report={},
        project_id=DEFAULT_PROJECT,
    )
    session.add(file)
    session.flush()
    return file


def stored_job(session: Session, *, state: JobState = JobState.QUEUED, spec: Json | None = None) -> Job:
    """A job without rows: enough for claims, signals and sweeps, not for training."""
    job = Job(
        id=new_id("ftjob"),
        state=state,
        control_signal=ControlSignal.RUN,
        model="starter",
        training_file=stored_file(session, json.dumps({"n": new_id("row")}).encode()).id,
        validation_file=None,
        seed=0,
        request={},
        spec=spec or {},
        grader={},
        created_at=utc_now(),
        max_steps=10,
        project_id=DEFAULT_PROJECT,
    )
    session.add(job)
    session.flush()
    return job
