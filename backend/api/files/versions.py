"""`/v1/files/{id}/…`: new versions of stored files, their differences, and the training history of their rows."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, model_validator

from backend.api.files.routes import FileObject, file_object
from backend.api.http.authentication import Caller
from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database, ObjectId, audit_action, get_or_404
from backend.api.http.paging import After, ListItem, Order, Page, PageQuery, numbers_in_id, page, page_of
from backend.api.http.rights import DatasetsRead, DatasetsWrite
from backend.datasets.analysis.leakage import LEAST_VALIDATION_ROWS
from backend.datasets.reading.store import processed_file
from backend.datasets.versions.background import SplitTask, VersionTask, create_in_child
from backend.datasets.versions.change import MAX_NAME_CHARACTERS
from backend.datasets.versions.create import Split
from backend.datasets.versions.difference import RowChange, RowDifference, difference
from backend.datasets.versions.edits import MAX_EDITS, MAX_ROW, Edit
from backend.datasets.versions.filters import MAX_FILTERS, Filter
from backend.datasets.versions.history import RowHistoryEntry, row_histories
from backend.db.engine import transaction
from backend.db.files import File, family_of, row_hashes_of
from backend.quotas import require_storage

MAX_SEED = 2**31

router = APIRouter(prefix="/files/{file_id}", tags=["files"])


class VersionRequest(RequestBody):
    """`edits` address rows by their number in this file; `filters` then remove rows that were not edited."""

    edits: list[Edit] = Field(default_factory=list, max_length=MAX_EDITS)
    filters: list[Filter] = Field(default_factory=list, max_length=MAX_FILTERS)
    filename: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        pattern=r"^[^/\\\x00-\x1f\x7f]+$",
        description="Name of the new file; by default derived from this one.",
    )


class SplitRequest(RequestBody):
    """`share` or `rows`: size of the validation side. `stratify_by`: `answer`, or a column or path of the items, whose
    values then have the same proportions on both sides."""

    share: float | None = Field(None, gt=0, lt=1, allow_inf_nan=False)
    rows: int | None = Field(None, ge=LEAST_VALIDATION_ROWS, le=MAX_ROW)
    seed: int = Field(0, ge=0, lt=MAX_SEED)
    stratify_by: str | None = Field(None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _one_measure(self) -> "SplitRequest":
        if (self.share is None) == (self.rows is None):
            raise ValueError("give either share or rows")
        return self


class SplitObject(BaseModel):
    object: Literal["file.split"] = "file.split"
    train: FileObject
    validation: FileObject


class DifferingRow(ListItem):
    """A row that differs: `row` and `item` in this file, `to_row` and `to_item` in the other, without image bytes."""

    change: RowChange
    row: int | None
    to_row: int | None
    item: dict[str, Any] | None
    to_item: dict[str, Any] | None


class DifferencePage(Page[DifferingRow]):
    """The difference from this file to the other: counts of all rows, and the differing ones in `data`."""

    same: int
    added: int
    removed: int
    changed: int


class RowInJob(BaseModel):
    """The results of one job on a row. `file`: the job's training file; `graded` completions have a score, `solved` of
    them one above the job's `success_above`."""

    job: str
    file: str
    completions: int
    graded: int
    solved: int
    solve_rate: float | None
    mean_score: float | None
    last_step: int


class DatasetRowHistory(ListItem):
    """A row and the jobs trained on an equal row of any file, oldest first."""

    row: int
    row_hash: str
    jobs: list[RowInJob]


@router.post("/versions")
def create_version(file_id: ObjectId, body: VersionRequest, request: Request, caller: DatasetsWrite) -> FileObject:
    """Create a new file from this one, with rows rewritten, deleted, appended or filtered. This file is unchanged."""
    task = VersionTask(
        file_id=_processed_file_id(file_id, caller=caller),
        project=caller.project,
        audit_action=audit_action(request, caller),
        edits=body.edits,
        filters=body.filters,
        filename=body.filename,
    )
    (created,) = _create_files(task, caller=caller)
    return created


@router.post("/split")
def split_file(file_id: ObjectId, body: SplitRequest, request: Request, caller: DatasetsWrite) -> SplitObject:
    """Split a file into two new ones, for training and validation, which together contain every row once.

    The same seed gives the same split. Equal rows stay on one side, so that a job leaves none out."""
    task = SplitTask(
        file_id=_processed_file_id(file_id, caller=caller),
        project=caller.project,
        audit_action=audit_action(request, caller),
        split=Split(share=body.share, rows=body.rows, seed=body.seed, stratify_by=body.stratify_by),
    )
    train, validation = _create_files(task, caller=caller)
    return SplitObject(train=train, validation=validation)


@router.get("/versions")
def list_versions(file_id: ObjectId, caller: DatasetsRead, session: Database) -> Page[FileObject]:
    """List this file, its ancestors and all versions of these, oldest first."""
    return page(
        [file_object(each) for each in family_of(session, get_or_404(session, File, file_id, project=caller.project))]
    )


@router.get("/difference")
def get_difference(
    file_id: ObjectId,
    caller: DatasetsRead,
    session: Database,
    to: Annotated[str, Query(min_length=1, max_length=200, description="The file to compare with.")],
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DifferencePage:
    """List rows added, removed and changed from this file to the other, in the order of the other."""
    file, other = (
        processed_file(session, file_id, project=caller.project),
        processed_file(session, to, project=caller.project),
    )
    offset = 0 if after is None else numbers_in_id(after, pattern=r"difference-(\d+)")[0] + 1
    compared = difference(session, file, to=other, offset=offset, limit=limit)
    differences = page(
        [_difference_object(each, index=index) for index, each in enumerate(compared.listed, start=offset)],
        has_more=offset + len(compared.listed) < compared.added + compared.removed + compared.changed,
    )
    counts = {name: getattr(compared, name) for name in ("same", "added", "removed", "changed")}
    return DifferencePage(**dict(differences), **counts)


@router.get("/history")
def list_history(
    file_id: ObjectId,
    caller: DatasetsRead,
    session: Database,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    order: Order = Order.ASC,
) -> Page[DatasetRowHistory]:
    """List how often each row was solved, by job. Rows are identified by hash, so versions share their history."""
    rows = page_of(
        session,
        row_hashes_of(processed_file(session, file_id, project=caller.project)),
        PageQuery(after, limit, order),
        position=partial(numbers_in_id, pattern=r"row-(\d+)"),
        to_item=lambda row: DatasetRowHistory(id=f"row-{row.number}", row=row.number, row_hash=row.row_hash, jobs=[]),
    )
    histories = row_histories(session, [row.row_hash for row in rows.data], project=caller.project)
    for row in rows.data:
        row.jobs = [_row_in_job(each) for each in histories.get(row.row_hash, [])]
    return rows


def _processed_file_id(file_id: str, *, caller: Caller) -> str:
    """Check that the file is processed, in its own transaction: a long request must hold no connection."""
    with transaction(project=caller.project) as session:
        file = processed_file(session, file_id, project=caller.project)
        require_storage(session, project=caller.project, additional_bytes=file.size_bytes)
        return file.id


def _create_files(task: VersionTask | SplitTask, *, caller: Caller) -> list[FileObject]:
    file_ids = create_in_child(task)
    with transaction(project=caller.project) as session:
        return [file_object(get_or_404(session, File, file_id, project=caller.project)) for file_id in file_ids]


def _difference_object(each: RowDifference, *, index: int) -> DifferingRow:
    return DifferingRow(
        id=f"difference-{index}",
        change=each.change,
        row=each.row,
        to_row=each.other_row,
        item=each.item,
        to_item=each.other_item,
    )


def _row_in_job(each: RowHistoryEntry) -> RowInJob:
    return RowInJob(
        job=each.job_id,
        file=each.file_id,
        completions=each.completions,
        graded=each.graded,
        solved=each.solved,
        solve_rate=each.solve_rate,
        mean_score=each.mean_score,
        last_step=each.last_step,
    )
