"""Workers seen now: each says every few seconds that it is there, and what it has."""

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
from backend.db.workers import WorkerSeen

REPORT_S = 15.0
SEEN = timedelta(seconds=4 * REPORT_S)
"""A worker that has been silent for longer is not there."""
KEPT = timedelta(days=1)
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    id: str
    host: str
    queues: list[str]
    devices: list[dict[str, Any]]
    sandbox_level: int
    version: str


def facts(queues: list[str], *, sandbox_level: int) -> WorkerFacts:
    """Of this process and its machine."""
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
    """The NVIDIA GPUs of this machine, asked of the driver's own tool, since torch must not be loaded here."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    found = [line.rpartition(",") for line in answer.splitlines() if "," in line]
    return [{"name": name.strip(), "memory_bytes": int(mebibytes) * 2**20} for name, _, mebibytes in found]


def report(session: Session, known: WorkerFacts) -> None:
    """This worker is there."""
    now = utc_now()
    session.execute(
        insert(WorkerSeen)
        .values(**asdict(known), started_at=now, seen_at=now)
        .on_conflict_do_update(index_elements=[WorkerSeen.id], set_={"seen_at": now})
    )
    session.execute(delete(WorkerSeen).where(WorkerSeen.seen_at < now - KEPT))


def leave(session: Session, known: WorkerFacts) -> None:
    """This worker goes away, and says so."""
    session.execute(delete(WorkerSeen).where(WorkerSeen.id == known.id))


def seen_now(session: Session) -> list[WorkerSeen]:
    return list(
        session.scalars(select(WorkerSeen).where(WorkerSeen.seen_at > utc_now() - SEEN).order_by(WorkerSeen.started_at))
    )
