"""Creation of new files from stored ones by editing, filtering or splitting. The stored file never changes.

Not covered: writing the new file (`write`), and which rows filters and splits choose (`selection`, `analysis.leakage`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, literal, select
from sqlalchemy.orm import Session

from backend.datasets.analysis.leakage import BY_ANSWER, RowPlacement, stratum_of, validation_count, validation_side
from backend.datasets.formats.json_lines import MAX_LINE_BYTES, BadLineError, raw_row
from backend.datasets.reading.store import require_processed
from backend.datasets.rows.images import ImageStore
from backend.datasets.rows.recognise import stored_shape
from backend.datasets.rows.rows import NormalRow, normal_row
from backend.datasets.rows.shape import Shape
from backend.datasets.versions import change
from backend.datasets.versions.edits import Edit, EditPlan, plan_edits
from backend.datasets.versions.filters import Filter
from backend.datasets.versions.inherited import InheritedImages
from backend.datasets.versions.selection import left_out
from backend.datasets.versions.write import Content, store_derived_file
from backend.db.base import Json
from backend.db.files import ROWS_TOGETHER, DatasetRow, File, family_of, lock_file
from backend.errors import AppError, not_found


def new_version(
    session: Session,
    file_id: str,
    *,
    project: str,
    edits: Sequence[Edit],
    filters: Sequence[Filter],
    filename: str | None,
) -> File:
    """Create a version with these edits and without the rows that the filters leave out. Raises AppError."""
    parent = _parent(session, file_id, project=project)
    plan = plan_edits(edits, rows=parent.row_count)
    shape = stored_shape(parent.shape or "", parent.report["columns"])
    with ImageStore(InheritedImages(session, parent, shape=shape)) as image_store:
        rewritten = _changed(session, parent, _normal_rows(plan.replaced, shape=shape, image_store=image_store))
        appended = _normal_rows(dict(enumerate(plan.appended)), shape=shape, image_store=image_store)
        filtered_out = left_out(session, parent, filters, edited=plan.deleted | plan.replaced.keys())
        dropped = plan.deleted.union(*filtered_out)
        content = Content(
            kept=[number for number in range(parent.row_count) if number not in dropped],
            rewritten=rewritten,
            appended=list(appended.values()),
        )
        _require_change(parent, content, has_request=bool(edits or filters))
        taken = {each.filename for each in family_of(session, parent)}
        return store_derived_file(
            session,
            parent,
            content=content,
            image_store=image_store,
            filename=filename or change.next_name(parent.filename, taken=taken),
            change=_change_json(parent, plan, rewritten=rewritten, filters=filters, filtered_out=filtered_out),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How to draw the validation rows: how many (a `share` of the rows, or `rows`), by which seed and stratum."""

    share: float | None
    rows: int | None
    seed: int
    stratify_by: str | None


def split(session: Session, file_id: str, wanted: Split, *, project: str) -> tuple[File, File]:
    """Create (training file, validation file) with every row in one of them. Raises AppError if a side is too small."""
    parent = _parent(session, file_id, project=project)
    count = wanted.rows if wanted.rows is not None else validation_count(parent.row_count, share=wanted.share or 0)
    try:
        placements = _placements(session, parent, stratify_by=wanted.stratify_by)
        validation = validation_side(placements, count=count, seed=wanted.seed)
    except ValueError as error:
        raise AppError(
            f"'{parent.filename}' cannot be split: {error}. Add rows, or ask for fewer validation rows.",
            code="too_few_rows",
            param="share" if wanted.rows is None else "rows",
        ) from None
    sides = []
    for side in ("train", "validation"):
        kept = [number for number in range(parent.row_count) if (number in validation) == (side == "validation")]
        by = f", stratified by {wanted.stratify_by}" if wanted.stratify_by else ""
        summary = change.sentence(
            f"{side} side of a split: {len(kept):,} of {parent.row_count:,} rows, seed {wanted.seed}{by}"
        )
        figures = {"side": side, **{name: value for name, value in asdict(wanted).items() if value is not None}}
        sides.append(
            store_derived_file(
                session,
                parent,
                content=Content(kept=kept),
                image_store=None,
                filename=change.side_name(parent.filename, side=side),
                change={"summary": summary, "from": _parent_json(parent), "split": figures},
            )
        )
    return sides[0], sides[1]


def _parent(session: Session, file_id: str, *, project: str) -> File:
    """Return the project's file, locked against deletion until the files created from it are stored."""
    file = lock_file(session, file_id, project=project)
    if file is None:
        raise not_found("file", file_id)
    return require_processed(file)


def _normal_rows(
    items: dict[int, tuple[int, dict[str, Any]]], *, shape: Shape, image_store: ImageStore
) -> dict[int, NormalRow]:
    return {
        number: _normal_row(item, shape=shape, image_store=image_store, index=index)
        for number, (index, item) in items.items()
    }


def _normal_row(item: dict[str, Any], *, shape: Shape, image_store: ImageStore, index: int) -> NormalRow:
    """Convert the item like a line of the file. Raises AppError naming the edit."""
    try:
        raw = raw_row(item, line=1)
        if len(json.dumps(item, ensure_ascii=False).encode()) > MAX_LINE_BYTES:
            raise BadLineError("line_too_long", f"is longer than {MAX_LINE_BYTES // 1024**2} MiB")
        return normal_row(raw, shape=shape, number=0, image_store=image_store)
    except BadLineError as error:
        message = f"The row {error}." if index == 0 else f"The row of edit {index + 1} {error}."
        raise AppError(message, code=error.code, param=f"edits.{index}.item") from None


def _changed(session: Session, parent: File, rows: dict[int, NormalRow]) -> dict[int, NormalRow]:
    """Return the rows that differ from the stored ones."""
    wanted = DatasetRow.number == any_(literal(list(rows), ARRAY(BigInteger)))
    stored = session.execute(
        select(DatasetRow.number, DatasetRow.row_hash).where(DatasetRow.file_id == parent.id, wanted)
    )
    return {number: rows[number] for number, row_hash in stored if rows[number].row_hash != row_hash}


def _require_change(parent: File, content: Content, *, has_request: bool) -> None:
    if not has_request:
        raise AppError(
            "No change was requested: give `edits`, `filters` or both.",
            code="missing_required_parameter",
            param="edits",
        )
    if not content.row_count:
        raise AppError(
            f"Nothing would be left of the {parent.row_count} rows of '{parent.filename}': leave out fewer rows.",
            code="no_rows_left",
            param="filters",
        )
    if len(content.kept) == parent.row_count and not content.rewritten and not content.appended:
        raise AppError(
            f"Nothing would change: no row of '{parent.filename}' would be left out, rewritten or added.",
            code="nothing_changed",
            param="edits",
        )


def _change_json(
    parent: File,
    plan: EditPlan,
    *,
    rewritten: dict[int, NormalRow],
    filters: Sequence[Filter],
    filtered_out: Sequence[set[int]],
) -> Json:
    edited, edit_figures = change.describe_edits(replaced=rewritten, deleted=plan.deleted, appended=len(plan.appended))
    filtered, filter_figures = change.describe_filters(filters, left_out=[len(numbers) for numbers in filtered_out])
    description: Json = {"summary": change.sentence(edited, filtered), "from": _parent_json(parent)}
    description |= {"edits": edit_figures} if edited else {}
    return description | ({"filters": filter_figures} if filters else {})


def _parent_json(parent: File) -> Json:
    return {"id": parent.id, "filename": parent.filename, "rows": parent.row_count}


def _placements(session: Session, parent: File, *, stratify_by: str | None) -> list[RowPlacement]:
    """Return the rows with their strata. Raises AppError if no row has the column."""
    stored = session.execute(
        select(DatasetRow.number, DatasetRow.normal)
        .where(DatasetRow.file_id == parent.id)
        .order_by(DatasetRow.number)
        .execution_options(yield_per=ROWS_TOGETHER)
    )
    rows = [
        RowPlacement(number, normal["row_hash"], "" if stratify_by is None else stratum_of(normal, by=stratify_by))
        for number, normal in stored
    ]
    if stratify_by not in (None, BY_ANSWER) and not any(row.stratum for row in rows):
        raise AppError(
            f"stratify_by: no row of '{parent.filename}' has '{stratify_by:.100}'; name a column or a dotted path.",
            code="unknown_column",
            param="stratify_by",
        )
    return rows
