"""Selection of the rows that the filters of a new version leave out, by text, report or a job's completions.

A row that is edited in the same version is kept, whatever the filters select.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, literal, select
from sqlalchemy.orm import Session

from backend.datasets.rows.rows import NormalRow
from backend.datasets.versions.edits import require_row
from backend.datasets.versions.filters import (
    ContentFilter,
    ExactDuplicates,
    Filter,
    NearDuplicates,
    QuestionLength,
    RowNumbers,
    SolveRate,
    TextFilter,
    Warned,
)
from backend.datasets.versions.history import solve_counts
from backend.db.files import ROWS_TOGETHER, DatasetRow, File
from backend.db.jobs import Job
from backend.db.projects import find_owned
from backend.errors import AppError


def left_out(session: Session, file: File, filters: Sequence[Filter], *, edited: Collection[int]) -> list[set[int]]:
    """Return, for each filter, the rows that it is the first to leave out; exact duplicates are evaluated last.

    Raises AppError naming the filter if it does not apply to this file.
    """
    by_content = _by_content(session, file, [rule for rule in filters if isinstance(rule, ContentFilter)])
    found: dict[int, set[int]] = {}
    removed = set(edited)
    for index, rule in sorted(enumerate(filters), key=lambda pair: isinstance(pair[1], ExactDuplicates)):
        match rule:
            case SolveRate():
                out = _by_rate(session, file, rule, param=f"filters.{index}")
            case RowNumbers():
                out = _by_number(rule, rows=file.row_count, param=f"filters.{index}")
            case QuestionLength() | TextFilter():
                out = by_content.pop(0)
            case Warned():
                out = _listed(session, file, file.report.get("warnings", []))
            case NearDuplicates():
                out = _listed(session, file, (file.report.get("near_duplicates") or {}).get("pairs", []))
            case ExactDuplicates():
                out = _repeated(session, file, removed=removed)
        found[index] = out - removed
        removed |= out
    return [found[index] for index in range(len(filters))]


def _by_content(session: Session, file: File, rules: Sequence[ContentFilter]) -> list[set[int]]:
    """Evaluate all filters on a row's text in one pass over the rows."""
    found: list[set[int]] = [set() for _ in rules]
    if rules:
        for number, normal in session.execute(
            select(DatasetRow.number, DatasetRow.normal)
            .where(DatasetRow.file_id == file.id)
            .execution_options(yield_per=ROWS_TOGETHER)
        ):
            row = NormalRow.from_json(normal, number=number, line=number + 1)
            for rule, out in zip(rules, found, strict=True):
                if rule.leaves_out(row):
                    out.add(number)
    return found


def _by_rate(session: Session, file: File, rule: SolveRate, *, param: str) -> set[int]:
    job = find_owned(session, Job, rule.job, project=file.project_id)
    if job is None:
        raise AppError(f"No such job: '{rule.job:.100}'.", code="job_not_found", param=f"{param}.job")
    known = solve_counts(session, file, job)
    if not known:
        raise AppError(
            f"Job '{job.id}' has no completions for any row of '{file.filename}' (it was trained on "
            f"'{job.training_file}'): name a job that was trained on this file or a version of it.",
            code="job_unrelated",
            param=f"{param}.job",
        )
    found = set()
    for number in range(file.row_count):
        graded, solved = known.get(number, (0, 0))
        if rule.leaves_out(graded=graded, solved=solved):
            found.add(number)
    return found


def _by_number(rule: RowNumbers, *, rows: int, param: str) -> set[int]:
    name, numbers = ("keep", rule.keep) if rule.keep is not None else ("drop", rule.drop or [])
    for index, number in enumerate(numbers):
        require_row(number, rows=rows, param=f"{param}.{name}.{index}")
    return set(range(rows)).difference(numbers) if name == "keep" else set(numbers)


def _listed(session: Session, file: File, listed: Sequence[dict[str, Any]]) -> set[int]:
    """Return the rows that the report lists; by line where the report is older than row numbers."""
    found = {entry["number"] for entry in listed if "number" in entry}
    if lines := sorted({int(entry.get("line") or entry["row"]) for entry in listed if "number" not in entry}):
        wanted = DatasetRow.line == any_(literal(lines, ARRAY(BigInteger)))
        found |= set(session.scalars(select(DatasetRow.number).where(DatasetRow.file_id == file.id, wanted)))
    return found


def _repeated(session: Session, file: File, *, removed: Collection[int]) -> set[int]:
    """Return the remaining rows that are equal to an earlier remaining row."""
    seen: set[str] = set()
    found = set()
    for number, row_hash in session.execute(
        select(DatasetRow.number, DatasetRow.row_hash)
        .where(DatasetRow.file_id == file.id)
        .order_by(DatasetRow.number)
        .execution_options(yield_per=ROWS_TOGETHER)
    ):
        if number in removed:
            continue
        if row_hash in seen:
            found.add(number)
        seen.add(row_hash)
    return found
