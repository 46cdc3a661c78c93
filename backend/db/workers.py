"""Workers that have reported recently."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base


class WorkerRecord(Base):
    """A worker. `devices`: its visible GPUs, `[{name, memory_bytes}]`; `sandbox_level`: see `rlsd sandbox-check`."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    queues: Mapped[list[Any]]
    devices: Mapped[list[Any]]
    sandbox_level: Mapped[int]
    version: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
