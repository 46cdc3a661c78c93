"""Imports every table, so that `Base.metadata` is whole for migrations."""

from backend.db import blobs, checks, files, jobs, keys, training, verifiers
from backend.db.base import Base

metadata = Base.metadata

__all__ = ["blobs", "checks", "files", "jobs", "keys", "metadata", "training", "verifiers"]
