"""Imports every table, so that `Base.metadata` is whole for migrations."""

from backend.db import (
    audit,
    blobs,
    checks,
    comparisons,
    files,
    idempotency,
    jobs,
    keys,
    projects,
    training,
    verifiers,
    webhooks,
    workers,
)
from backend.db.base import Base

metadata = Base.metadata

__all__ = [
    "audit",
    "blobs",
    "checks",
    "comparisons",
    "files",
    "idempotency",
    "jobs",
    "keys",
    "metadata",
    "projects",
    "training",
    "verifiers",
    "webhooks",
    "workers",
]
