"""Exports of a job's adapter: requested once, made by a worker, offered after a check against the adapter."""

from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import blobs
from backend.checks import request_check
from backend.core.checks import CheckKind
from backend.db.base import utc_now
from backend.db.blobs import size_of
from backend.db.exports import Export, check_of
from backend.db.jobs import Job
from backend.db.training import find_checkpoint
from backend.errors import AppError
from backend.ids import new_id
from backend.jobs.control import lock_job
from backend.jobs.lifecycle import TERMINAL, JobState
from backend.quotas import require_storage

"""Kind of the check that makes the export."""


class ExportFormat(StrEnum):
    """Formats of an export. The adapter alone needs none: a succeeded job offers it directly."""

    MERGED = "merged"
    """Base and adapter as one model in Hugging Face layout."""
    GGUF = "gguf"
    """The merged model as one file for llama.cpp, Ollama and others."""


class ExportDtype(StrEnum):
    """Dtypes in which an export can be stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    Q8_0 = "q8_0"
    """Eight bits a weight; GGUF only."""


def request_export(
    session: Session, job: Job, *, format: ExportFormat, dtype: ExportDtype | None, checkpoint_id: str | None
) -> Export:
    """Return the export of this adapter in this format and dtype; a new one is queued for a worker. Raises AppError.

    Without a dtype, it is the smallest one that agrees with the adapter.
    """
    if dtype is ExportDtype.Q8_0 and format is not ExportFormat.GGUF:
        raise AppError(
            "q8_0 is a dtype of the format gguf: choose float32, float16 or bfloat16 for merged.",
            code="invalid_value",
            param="dtype",
        )
    lock_job(session, job)  # concurrent requests get the same export
    adapter_sha256 = _adapter(session, job, checkpoint_id=checkpoint_id)
    found = session.scalar(
        select(Export).where(
            Export.job_id == job.id,
            Export.format == format,
            Export.dtype.is_not_distinct_from(dtype),
            Export.checkpoint_id.is_not_distinct_from(checkpoint_id),
        )
    )
    if found is not None:
        return found
    size_bytes = size_of(session, adapter_sha256)  # a lower bound: that of the export is not known yet
    require_storage(session, project=job.project_id, additional_bytes=size_bytes)
    export_id = new_id("export")
    check = request_check(
        session, project=job.project_id, kind=CheckKind.EXPORT, request={"export_id": export_id}, job_id=job.id
    )
    export = Export(
        id=export_id,
        job_id=job.id,
        checkpoint_id=checkpoint_id,
        format=format,
        dtype=dtype,
        created_at=utc_now(),
        check_id=check.id,
    )
    session.add(export)
    session.flush()
    return export


def delete_export(session: Session, job: Job, export: Export) -> None:
    """Delete the job's export, and its blob if nothing else refers to it. A worker still making it stores nothing."""
    check = check_of(session, job, export)
    session.delete(export)
    session.flush()
    session.delete(check)
    if export.sha256 is not None:
        blobs.drop_unused(session, export.sha256)


def _adapter(session: Session, job: Job, *, checkpoint_id: str | None) -> str:
    """Return the SHA-256 of the stored adapter. Raises AppError if there is none yet."""
    if checkpoint_id is None:
        if job.adapter_sha256 is None:
            raise AppError(
                f"Job '{job.id}' is {job.state}: its adapter is available once it has succeeded. If a job ended "
                "otherwise, export one of its checkpoints.",
                status=409,
                code="not_ready",
                param="checkpoint" if JobState(job.state) in TERMINAL else None,
            )
        return job.adapter_sha256
    checkpoint = find_checkpoint(session, job, checkpoint_id)
    if checkpoint is None:
        raise AppError(
            f"Job '{job.id}' has no checkpoint '{checkpoint_id}'.", status=404, code="not_found", param="checkpoint"
        )
    if JobState(job.state) not in TERMINAL:
        raise AppError(
            f"Job '{job.id}' is {job.state}: its checkpoints can be exported once it has ended.",
            status=409,
            code="not_ready",
        )
    return checkpoint.sha256
