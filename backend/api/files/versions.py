"""`/v1/files/{id}/…`: new files made from stored ones, how they belong together, and how their rows have fared."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import select
from sqlalchemy.orm import load_only

from backend.api.files.routes import FileObject, shown_file
from backend.api.http.authentication import Caller
from backend.api.http.dependencies import Auth, Database, ObjectId, act_of, found
from backend.api.http.paging import After, ListItem, Order, Page, cut, numbers_of, page
from backend.datasets.analysis.leakage import LEAST_VALIDATION_ROWS
from backend.datasets.reading.store import processed_file
from backend.datasets.versions.background import SplitAsked, VersionAsked, made_in_child
from backend.datasets.versions.change import MAX_NAME_CHARACTERS
from backend.datasets.versions.create import family
from backend.datasets.versions.difference import Differing, RowChange, difference
from backend.datasets.versions.edits import MAX_EDITS, MAX_ROW, Edit
from backend.datasets.versions.filters import MAX_FILTERS, Filter
from backend.datasets.versions.history import RowHistoryEntry, fared
from backend.db.engine import transaction
from backend.db.files import DatasetRow, File
from backend.quotas import require_storage

MAX_SEED = 2**31

router = APIRouter(prefix="/files/{file_id}", tags=["files"])


class VersionRequest(BaseModel):
    """`edits` name rows by their number in this file; `filters` then leave rows out that were not edited."""

    model_config = ConfigDict(extra="forbid")

    edits: list[Edit] = Field(default_factory=list, max_length=MAX_EDITS)
    filters: list[Filter] = Field(default_factory=list, max_length=MAX_FILTERS)
    filename: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        pattern=r"^[^/\\\x00-\x1f\x7f]+$",
        description="The name of the new file; without it the next version's.",
    )


class SplitRequest(BaseModel):
    """`share` or `rows`: how much goes to the validation side. `stratify_by`: `answer`, or a column or path of the
    items, whose values both sides then hold in the same proportion."""

    model_config = ConfigDict(extra="forbid")

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
    """`row` and `item` in this file, `to_row` and `to_item` in the other; the bytes of images are left out."""

    change: RowChange
    row: int | None
    to_row: int | None
    item: dict[str, Any] | None
    to_item: dict[str, Any] | None


class DifferencePage(Page[DifferingRow]):
    """What leads from this file to the other: all rows are counted, `data` lists those that differ."""

    same: int
    added: int
    removed: int
    changed: int


class RowInJob(BaseModel):
    """`file`: what the job was trained on; `graded` completions have a score, `solved` of them one above
    the job's `success_above`."""

    job: str
    file: str
    completions: int
    graded: int
    solved: int
    solve_rate: float | None
    mean_score: float | None
    last_step: int


class RowFared(ListItem):
    """A row and what jobs did with it, the oldest first: those that were trained on an equal row of any file."""

    row: int
    row_hash: str
    jobs: list[RowInJob]


@router.post("/versions")
def create_version(file_id: ObjectId, body: VersionRequest, request: Request, who: Auth) -> FileObject:
    """Make a new file of this one, which stays as it is: rows rewritten, deleted, appended, or left out by rules."""
    asked = VersionAsked(
        file_id=_stored(file_id, who=who),
        project=who.project,
        act=act_of(request, who),
        edits=body.edits,
        filters=body.filters,
        filename=body.filename,
    )
    (made,) = _made(asked, who=who)
    return made


@router.post("/split")
def split_file(file_id: ObjectId, body: SplitRequest, request: Request, who: Auth) -> SplitObject:
    """Make two new files that together hold every row once: one to train on, one to measure on.

    The same seed gives the same split. Equal rows stay together, so a job takes the two."""
    asked = SplitAsked(
        file_id=_stored(file_id, who=who),
        project=who.project,
        act=act_of(request, who),
        share=body.share,
        rows=body.rows,
        seed=body.seed,
        stratify_by=body.stratify_by,
    )
    train, validation = _made(asked, who=who)
    return SplitObject(train=train, validation=validation)


@router.get("/versions")
def list_versions(file_id: ObjectId, _: Auth, session: Database) -> Page[FileObject]:
    """This file, those it was made from, and all that were made from these, the oldest first."""
    return page([shown_file(each) for each in family(session, found(session, File, file_id, kind="file"))])


@router.get("/difference")
def get_difference(
    file_id: ObjectId,
    _: Auth,
    session: Database,
    to: Annotated[str, Query(min_length=1, max_length=200, description="The file to compare with.")],
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DifferencePage:
    """Rows added, removed and changed on the way from this file to the other, in the order of the other."""
    file, other = processed_file(session, file_id), processed_file(session, to)
    offset = sum(numbers_of(after, pattern=r"difference-(\d+)") or [-1]) + 1
    compared = difference(session, file, to=other, offset=offset, limit=limit)
    listed = page(
        [_shown_difference(each, place=place) for place, each in enumerate(compared.listed, start=offset)],
        has_more=offset + len(compared.listed) < compared.added + compared.removed + compared.changed,
    )
    counts = {name: getattr(compared, name) for name in ("same", "added", "removed", "changed")}
    return DifferencePage(**dict(listed), **counts)


@router.get("/history")
def list_history(
    file_id: ObjectId,
    _: Auth,
    session: Database,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    order: Order = Order.ASC,
) -> Page[RowFared]:
    """How often each row was solved, by job. A row is known by its hash, so its history goes along into versions."""
    processed_file(session, file_id)
    rows = cut(
        session,
        select(DatasetRow)
        .where(DatasetRow.file_id == file_id)
        .options(load_only(DatasetRow.row_hash, raiseload=True)),  # not the rows themselves, which may be megabytes
        keys=(DatasetRow.number,),
        after=numbers_of(after, pattern=r"row-(\d+)"),
        limit=limit,
        order=order,
        show=lambda row: RowFared(id=f"row-{row.number}", row=row.number, row_hash=row.row_hash, jobs=[]),
    )
    histories = fared(session, [row.row_hash for row in rows.data])
    for row in rows.data:
        row.jobs = [_shown_job(each) for each in histories.get(row.row_hash, [])]
    return rows


def _stored(file_id: str, *, who: Caller) -> str:
    """In a transaction of its own: a long request must hold no connection."""
    with transaction(project=who.project) as session:
        file = processed_file(session, file_id)
        require_storage(session, file.size_bytes)
        return file.id


def _made(asked: VersionAsked | SplitAsked, *, who: Caller) -> list[FileObject]:
    made = made_in_child(asked)
    with transaction(project=who.project) as session:
        return [shown_file(found(session, File, file_id, kind="file")) for file_id in made]


def _shown_difference(each: Differing, *, place: int) -> DifferingRow:
    return DifferingRow(
        id=f"difference-{place}",
        change=each.change,
        row=each.row,
        to_row=each.other_row,
        item=each.item,
        to_item=each.other_item,
    )


def _shown_job(each: RowHistoryEntry) -> RowInJob:
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
