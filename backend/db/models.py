"""Import of all tables, so that `Base.metadata` is complete for migrations."""

from backend.db import (
    audit,
    blobs,
    chat,
    checks,
    comparisons,
    exports,
    files,
    idempotency,
    jobs,
    keys,
    projects,
    training,
    uploads,
    verifiers,
    webhooks,
    workers,
)
from backend.db.base import Base

metadata = Base.metadata

__all__ = [
    "audit",
    "blobs",
    "chat",
    "checks",
    "comparisons",
    "exports",
    "files",
    "idempotency",
    "jobs",
    "keys",
    "metadata",
    "projects",
    "training",
    "uploads",
    "verifiers",
    "webhooks",
    "workers",
]
