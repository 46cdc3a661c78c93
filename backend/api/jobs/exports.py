"""`/v1/fine_tuning/jobs/{id}/exports`: an adapter merged into a model, offered once its outputs match the adapter's."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from backend.api.checks import CheckProblem, CheckProgress
from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database, JobOfPath, ObjectId
from backend.api.http.downloads import download
from backend.api.http.paging import ListItem, Page, page
from backend.api.http.rights import JobsRead, JobsWrite
from backend.db.base import unix_s
from backend.db.blobs import size_of
from backend.db.checks import Check, CheckStatus
from backend.db.exports import Export, check_of, exports_of, find_export
from backend.db.jobs import Job
from backend.errors import AppError, not_found
from backend.jobs.exports import ExportDtype, ExportFormat, delete_export, request_export

router = APIRouter(prefix="/fine_tuning/jobs/{job_id}/exports", tags=["jobs"])


class ExportRequest(RequestBody):
    format: ExportFormat
    dtype: ExportDtype | None = Field(
        None,
        description="How weights are stored; `q8_0` only in GGUF. By default the smallest dtype with which the export "
        "agrees with its adapter.",
    )
    checkpoint: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="Id of one of the job's checkpoints; by default the job's final adapter."
    )


class ToleranceObject(BaseModel):
    """The allowed largest and mean difference of log-probabilities (nats), and least share of equal greedy tokens.

    `lost`: the allowed mean difference as a share of `effect`.
    """

    max: float
    mean: float
    greedy: float
    lost: float = 0.5


class TriedDtype(BaseModel):
    """A dtype that was tried, and the mean difference of log-probabilities (nats) from the adapter."""

    dtype: str
    agrees: bool
    mean_difference: float | None


class EquivalenceObject(BaseModel):
    """Base with adapter against the exported model on the same `tokens` completion tokens of `prompts` prompts.

    The figures are those of `dtype`; `tried` lists all dtypes in the order in which they were tried. `effect` is the
    difference between the adapter and its base; `read_alike` counts prompts that the exported tokenizer encodes
    identically. NaN is reported as null.
    """

    agrees: bool
    summary: str
    dtype: str
    tried: list[TriedDtype] = []
    prompts: int
    tokens: int
    max_difference: float | None
    mean_difference: float | None
    greedy_equal: float | None
    effect: float | None
    read_alike: int
    tolerance: ToleranceObject


class ExportObject(ListItem):
    """An export. It fails if its outputs differ from those of its adapter. `dtype` is the requested one; the one in
    which it is stored is part of the `comparison`.
    """

    object: Literal["fine_tuning.job.export"] = "fine_tuning.job.export"
    job_id: str
    checkpoint: str | None
    format: ExportFormat
    dtype: ExportDtype | None
    status: Literal["queued", "running", "succeeded", "failed"]
    created_at: int
    finished_at: int | None
    progress: CheckProgress | None
    comparison: EquivalenceObject | None
    size_bytes: int | None
    sha256: str | None
    error: CheckProblem | None


class DeletedExport(BaseModel):
    id: str
    object: Literal["fine_tuning.job.export"] = "fine_tuning.job.export"
    deleted: bool


@router.post("")
def create_export(body: ExportRequest, job: JobOfPath, _: JobsWrite, session: Database) -> ExportObject:
    """Create an export, or return the existing one for the same request. To retry, delete it first."""
    export = request_export(session, job, format=body.format, dtype=body.dtype, checkpoint_id=body.checkpoint)
    return _export_object(session, job, export)


@router.get("")
def list_exports(job: JobOfPath, _: JobsRead, session: Database) -> Page[ExportObject]:
    """List all exports of the job, newest first."""
    return page([_export_object(session, job, export) for export in exports_of(session, job)])


@router.get("/{export_id}")
def get_export(job: JobOfPath, export_id: ObjectId, _: JobsRead, session: Database) -> ExportObject:
    """Return an export."""
    return _export_object(session, job, _export_of(session, job, export_id))


@router.get(
    "/{export_id}/content",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, 304: {"description": "Not modified."}},
)
def get_export_content(
    job: JobOfPath, export_id: ObjectId, request: Request, _: JobsRead, session: Database
) -> Response:
    """Download the ZIP, with its SHA-256 as ETag. 404 until the export has succeeded."""
    export = _export_of(session, job, export_id)
    if export.sha256 is None:
        status = _export_object(session, job, export).status
        raise AppError(f"Export '{export_id}' is {status}: it has nothing to download.", status=404, code="not_ready")
    return download(
        request,
        sha256=export.sha256,
        size_bytes=size_of(session, export.sha256),
        filename=f"{job.suffix or job.id}-{export.format}.zip",
        media_type="application/zip",
    )


@router.delete("/{export_id}")
def remove_export(job: JobOfPath, export_id: ObjectId, _: JobsWrite, session: Database) -> DeletedExport:
    """Delete an export, even while it is being created."""
    delete_export(session, job, _export_of(session, job, export_id))
    return DeletedExport(id=export_id, deleted=True)


def _export_of(session: Session, job: Job, export_id: str) -> Export:
    export = find_export(session, job, export_id)
    if export is None:
        raise not_found("export", export_id)
    return export


def _export_object(session: Session, job: Job, export: Export) -> ExportObject:
    check = check_of(session, job, export)
    status, comparison, error = _outcome(check, offered=export.sha256 is not None)
    return ExportObject(
        id=export.id,
        job_id=export.job_id,
        checkpoint=export.checkpoint_id,
        format=ExportFormat(export.format),
        dtype=None if export.dtype is None else ExportDtype(export.dtype),
        status=status,
        created_at=unix_s(export.created_at),
        finished_at=unix_s(check.finished_at),
        progress=None if check.progress is None else CheckProgress.model_validate(check.progress),
        comparison=None if comparison is None else EquivalenceObject.model_validate(comparison),
        size_bytes=None if export.sha256 is None else size_of(session, export.sha256),
        sha256=export.sha256,
        error=error,
    )


def _outcome(
    check: Check, *, offered: bool
) -> tuple[Literal["queued", "running", "succeeded", "failed"], dict[str, Any] | None, CheckProblem | None]:
    """Return status, comparison and error from the state of the worker's check."""
    if check.status == CheckStatus.QUEUED:
        return "queued" if check.progress is None else "running", None, None
    result = check.result or {}
    if check.status == CheckStatus.FAILED:
        return "failed", None, CheckProblem.model_validate(result)
    comparison = result["comparison"]
    if offered:
        return "succeeded", comparison, None
    return "failed", comparison, CheckProblem(message=comparison["summary"], code="export_disagrees")
