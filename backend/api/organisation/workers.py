"""`/v1/workers`: the workers that are running now."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from backend.api.http.dependencies import Database
from backend.api.http.paging import ListItem, Page, page
from backend.api.http.rights import ProjectRead
from backend.db.base import unix_s
from backend.db.workers import WorkerRecord
from backend.workers import active_workers

router = APIRouter(prefix="/workers", tags=["server"])


class Device(BaseModel):
    name: str
    memory_bytes: int


class WorkerObject(ListItem):
    """A worker; `sandbox_level` as reported by `rlsd sandbox-check`."""

    object: Literal["worker"] = "worker"
    host: str
    queues: list[str]
    devices: list[Device]
    sandbox_level: int
    version: str
    started_at: int
    seen_at: int


@router.get("")
def list_workers(_: ProjectRead, session: Database) -> Page[WorkerObject]:
    """List all running workers, in order of their start."""
    return page([_worker_object(worker) for worker in active_workers(session)])


def _worker_object(worker: WorkerRecord) -> WorkerObject:
    return WorkerObject(
        id=worker.id,
        host=worker.host,
        queues=worker.queues,
        devices=[Device.model_validate(device) for device in worker.devices],
        sandbox_level=worker.sandbox_level,
        version=worker.version,
        started_at=unix_s(worker.started_at),
        seen_at=unix_s(worker.seen_at),
    )
