"""Workers that have said lately that they are there."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base


class WorkerSeen(Base):
    """`devices`: the GPUs it sees, `[{name, memory_bytes}]`; `sandbox_level`: see `rlsd sandbox-check`."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    queues: Mapped[list[Any]]
    devices: Mapped[list[Any]]
    sandbox_level: Mapped[int]
    version: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
