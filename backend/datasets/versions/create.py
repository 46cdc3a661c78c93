"""New files made from stored ones: edited, filtered, split. The stored one never changes; the new one names it.

Not covered: how the new file is written (`derive`), which rows filters and splits choose (`selection`, `splits`).
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, literal, select
from sqlalchemy.orm import Session, aliased

from backend.datasets.analysis.leakage import BY_ANSWER, RowPlacement, stratum_of, validation_count, validation_side
from backend.datasets.formats.json_lines import MAX_LINE_BYTES, BadLineError, raw_row
from backend.datasets.reading.store import require_processed
from backend.datasets.rows.images import ImageStore
from backend.datasets.rows.recognise import Shape, shape_again
from backend.datasets.rows.rows import NormalRow, normal_row
from backend.datasets.versions import change
from backend.datasets.versions.edits import Edit, EditPlan, planned
from backend.datasets.versions.filters import Filter
from backend.datasets.versions.inherited import InheritedImages
from backend.datasets.versions.selection import left_out
from backend.datasets.versions.write import Content, derived
from backend.db.base import Json
from backend.db.files import ROWS_TOGETHER, DatasetRow, File
from backend.errors import AppError, not_found


def new_version(
    session: Session, file_id: str, *, edits: Sequence[Edit], filters: Sequence[Filter], filename: str | None
) -> File:
    """The file with these edits, without the rows that the filters leave out. Raises AppError naming what is wrong."""
    parent = _parent(session, file_id)
    plan = planned(edits, rows=parent.row_count)
    shape = shape_again(parent.shape or "", parent.report["columns"])
    with ImageStore(InheritedImages(session, parent, shape=shape)) as pictures:
        rewritten = _really_new(session, parent, _normal_rows(plan.replaced, shape=shape, pictures=pictures))
        appended = _normal_rows(dict(enumerate(plan.appended)), shape=shape, pictures=pictures)
        gone = left_out(session, parent, filters, edited=plan.deleted | plan.replaced.keys())
        dropped = plan.deleted.union(*gone)
        content = Content(
            kept=[number for number in range(parent.row_count) if number not in dropped],
            rewritten=rewritten,
            appended=list(appended.values()),
        )
        _require_sense(parent, content, asked=bool(edits or filters))
        taken = {each.filename for each in family(session, parent)}
        return derived(
            session,
            parent,
            content=content,
            pictures=pictures,
            filename=filename or change.next_name(parent.filename, taken=taken),
            change=_said(parent, plan, rewritten=rewritten, filters=filters, gone=gone),
        )


def split(
    session: Session, file_id: str, *, share: float | None, rows: int | None, seed: int, stratify_by: str | None
) -> tuple[File, File]:
    """(training file, validation file), which hold every row once. Raises AppError where a side is too small."""
    parent = _parent(session, file_id)
    count = rows if rows is not None else validation_count(parent.row_count, share=share or 0)
    try:
        aside = validation_side(_placed(session, parent, stratify_by=stratify_by), count=count, seed=seed)
    except ValueError as error:
        raise AppError(
            f"'{parent.filename}' cannot be split so: {error}. Add rows, or put fewer aside.",
            code="too_few_rows",
            param="share" if rows is None else "rows",
        ) from None
    asked = {"share": share, "rows": rows, "seed": seed, "stratify_by": stratify_by}
    sides = []
    for side in ("train", "validation"):
        kept = [number for number in range(parent.row_count) if (number in aside) == (side == "validation")]
        by = f", in proportion by {stratify_by}" if stratify_by else ""
        said = change.sentence(f"{side} side of a split: {len(kept):,} of {parent.row_count:,} rows, seed {seed}{by}")
        figures = {"side": side, **{name: value for name, value in asked.items() if value is not None}}
        sides.append(
            derived(
                session,
                parent,
                content=Content(kept=kept),
                pictures=None,
                filename=change.side_name(parent.filename, side=side),
                change={"summary": said, "from": _from(parent), "split": figures},
            )
        )
    return sides[0], sides[1]


def family(session: Session, file: File) -> list[File]:
    """The file, what it was made from, and what was made from these; the oldest first."""
    up = select(File.id, File.parent_id).where(File.id == file.id).cte("up", recursive=True)
    up = up.union(select(File.id, File.parent_id).join(up, File.id == up.c.parent_id))
    down = select(up.c.id).cte("down", recursive=True)
    child = aliased(File)
    down = down.union(select(child.id).join(down, child.parent_id == down.c.id))
    return list(session.scalars(select(File).where(File.id.in_(select(down.c.id))).order_by(File.created_at, File.id)))


def _parent(session: Session, file_id: str) -> File:
    """The file, kept from being deleted until what is made from it is stored."""
    file = session.scalar(select(File).where(File.id == file_id).with_for_update(read=True, key_share=True))
    if file is None:
        raise not_found("file", file_id)
    return require_processed(file)


def _normal_rows(
    items: dict[int, tuple[int, dict[str, Any]]], *, shape: Shape, pictures: ImageStore
) -> dict[int, NormalRow]:
    return {
        number: _normal_row(item, shape=shape, pictures=pictures, param=f"edits.{place}.item")
        for number, (place, item) in items.items()
    }


def _normal_row(item: dict[str, Any], *, shape: Shape, pictures: ImageStore, param: str) -> NormalRow:
    """As if it were a line of the file. Raises AppError naming the edit."""
    try:
        raw = raw_row(item, line=1)
        if len(json.dumps(item, ensure_ascii=False).encode()) > MAX_LINE_BYTES:
            raise BadLineError("line_too_long", f"is longer than {MAX_LINE_BYTES // 1024**2} MiB")
        return normal_row(raw, shape=shape, number=0, pictures=pictures)
    except BadLineError as error:
        raise AppError(f"{param}: the row {error}.", code=error.code, param=param) from None


def _really_new(session: Session, parent: File, rows: dict[int, NormalRow]) -> dict[int, NormalRow]:
    """Without those that are as they were."""
    wanted = DatasetRow.number == any_(literal(list(rows), ARRAY(BigInteger)))
    stored = session.execute(
        select(DatasetRow.number, DatasetRow.row_hash).where(DatasetRow.file_id == parent.id, wanted)
    )
    return {number: rows[number] for number, row_hash in stored if rows[number].row_hash != row_hash}


def _require_sense(parent: File, content: Content, *, asked: bool) -> None:
    if not asked:
        raise AppError(
            "Say what is to change: give `edits`, `filters` or both.",
            code="missing_required_parameter",
            param="edits",
        )
    if not content.row_count:
        raise AppError(
            f"Nothing would be left of the {parent.row_count} rows of '{parent.filename}': leave out fewer.",
            code="no_rows_left",
            param="filters",
        )
    if len(content.kept) == parent.row_count and not content.rewritten and not content.appended:
        raise AppError(
            f"Nothing would change: no row of '{parent.filename}' is left out, rewritten or added.",
            code="nothing_changed",
            param="edits",
        )


def _said(
    parent: File,
    plan: EditPlan,
    *,
    rewritten: dict[int, NormalRow],
    filters: Sequence[Filter],
    gone: Sequence[set[int]],
) -> Json:
    edits, edit_figures = change.edits_said(replaced=rewritten, deleted=plan.deleted, appended=len(plan.appended))
    ruled, filter_figures = change.filters_said(filters, left_out=[len(numbers) for numbers in gone])
    said: Json = {"summary": change.sentence(edits, ruled), "from": _from(parent)}
    said |= {"edits": edit_figures} if edits else {}
    return said | ({"filters": filter_figures} if filters else {})


def _from(parent: File) -> Json:
    return {"id": parent.id, "filename": parent.filename, "rows": parent.row_count}


def _placed(session: Session, parent: File, *, stratify_by: str | None) -> list[RowPlacement]:
    """The rows with what they are to be balanced by. Raises AppError where no row has such a column."""
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
            f"stratify_by: no row of '{parent.filename}' has '{stratify_by:.100}'; name a column, or a path with dots.",
            code="unknown_column",
            param="stratify_by",
        )
    return rows
