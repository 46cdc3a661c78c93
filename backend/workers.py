"""Registry of active workers: each reports regularly that it is alive, and its queues and devices."""

import os
import shutil
import socket
import subprocess
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.workers import WorkerRecord

REPORT_S = 15.0
ACTIVE = timedelta(seconds=4 * REPORT_S)
"""A worker without a report for longer counts as gone."""
KEPT = timedelta(days=1)
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker reports about itself."""

    id: str
    host: str
    queues: list[str]
    devices: list[dict[str, Any]]
    sandbox_level: int
    version: str


def facts(queues: list[str], *, sandbox_level: int) -> WorkerFacts:
    """Collect the facts about this process and its machine."""
    host = socket.gethostname()
    return WorkerFacts(
        id=f"{host}:{os.getpid()}",
        host=host,
        queues=queues,
        devices=gpus(),
        sandbox_level=sandbox_level,
        version=version("rlsd-workbench"),
    )


def gpus() -> list[dict[str, Any]]:
    """List the NVIDIA GPUs of this machine, by `nvidia-smi`, since torch must not be loaded here."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(query, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    devices = [line.rpartition(",") for line in output.splitlines() if "," in line]
    return [{"name": name.strip(), "memory_bytes": int(mebibytes) * 2**20} for name, _, mebibytes in devices]


def report(session: Session, worker: WorkerFacts) -> None:
    """Record that this worker is alive."""
    now = utc_now()
    session.execute(
        insert(WorkerRecord)
        .values(**asdict(worker), started_at=now, seen_at=now)
        .on_conflict_do_update(index_elements=[WorkerRecord.id], set_={"seen_at": now})
    )
    session.execute(delete(WorkerRecord).where(WorkerRecord.seen_at < now - KEPT))


def leave(session: Session, worker: WorkerFacts) -> None:
    """Remove this worker from the registry when it shuts down."""
    session.execute(delete(WorkerRecord).where(WorkerRecord.id == worker.id))


def active_workers(session: Session) -> list[WorkerRecord]:
    """Return the workers that have reported recently, in the order of their start."""
    return list(
        session.scalars(
            select(WorkerRecord).where(WorkerRecord.seen_at > utc_now() - ACTIVE).order_by(WorkerRecord.started_at)
        )
    )
