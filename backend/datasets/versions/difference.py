"""The difference between two files: rows added, removed and changed.

Rows with equal hashes are matched, the n-th of equal rows with the n-th. Of the rows left between two matches, those
with the same question are paired, then those with the same answer, then the rest in order; pairs count as changed.
Computed by the database; files are immutable, so offsets into the list are stable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from backend.datasets.rows.images import without_images
from backend.db.files import File

DIFFERENCE = text(
    """
    WITH rows AS (
        SELECT file_id = :other_id AS later, number, row_hash, md5(normal->>'messages') AS question,
               md5(coalesce(normal->'reference'->>'answer', '')) AS answer,
               row_number() OVER (PARTITION BY file_id, row_hash ORDER BY number) AS copy
        FROM dataset_rows WHERE file_id IN (:file_id, :other_id)
    ), matched AS (
        SELECT *, count(*) OVER (PARTITION BY row_hash, copy) = 2 AS shared FROM rows
    ), placed AS (
        SELECT *, count(*) FILTER (WHERE shared) OVER (PARTITION BY later ORDER BY number) AS gap FROM matched
    ), unmatched AS (
        SELECT *, row_number() OVER (PARTITION BY later, gap, question ORDER BY number) AS nth
        FROM placed WHERE NOT shared
    ), by_question AS (
        SELECT later, number, gap, answer, CAST(nth AS text) || question AS pair,
               count(*) OVER (PARTITION BY gap, question, nth) = 2 AS paired FROM unmatched
    ), other_question AS (
        SELECT *, row_number() OVER (PARTITION BY later, gap, answer ORDER BY number) AS nth
        FROM by_question WHERE NOT paired
    ), by_answer AS (
        SELECT later, number, gap, CAST(nth AS text) || answer AS pair,
               count(*) OVER (PARTITION BY gap, answer, nth) = 2 AS paired FROM other_question
    ), by_position AS (
        SELECT later, number, gap, CAST(row_number() OVER (PARTITION BY later, gap ORDER BY number) AS text) AS pair
        FROM by_answer WHERE NOT paired
    ), found AS MATERIALIZED (
        SELECT max(number) FILTER (WHERE NOT later) AS before, max(number) FILTER (WHERE later) AS after
        FROM (
            SELECT 'question' AS by, gap, pair, later, number FROM by_question WHERE paired
            UNION ALL SELECT 'answer', gap, pair, later, number FROM by_answer WHERE paired
            UNION ALL SELECT 'position', gap, pair, later, number FROM by_position
        ) AS pairs GROUP BY by, gap, pair
    ), counted AS (
        SELECT count(*) FILTER (WHERE before IS NULL) AS added, count(*) FILTER (WHERE after IS NULL) AS removed,
               count(*) FILTER (WHERE before IS NOT NULL AND after IS NOT NULL) AS changed FROM found
    ), listed AS (
        SELECT before, after FROM found
        ORDER BY coalesce(after, before), after IS NOT NULL, before LIMIT :limit OFFSET :offset
    )
    SELECT counted.*, listed.*, earlier.normal->'item' AS item, later.normal->'item' AS other_item
    FROM counted LEFT JOIN listed ON true
    LEFT JOIN dataset_rows AS earlier ON earlier.file_id = :file_id AND earlier.number = before
    LEFT JOIN dataset_rows AS later ON later.file_id = :other_id AND later.number = after
    ORDER BY coalesce(after, before), after IS NOT NULL, before
    """
)


class RowChange(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDifference:
    """A row that differs: its number and item in either file, None where it does not exist."""

    row: int | None
    other_row: int | None
    item: dict[str, Any] | None
    other_item: dict[str, Any] | None

    @property
    def change(self) -> RowChange:
        if self.row is None:
            return RowChange.ADDED
        return RowChange.REMOVED if self.other_row is None else RowChange.CHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The counts of all differences; `listed` has those from an offset on, in the order of the other file."""

    same: int
    added: int
    removed: int
    changed: int
    listed: Sequence[RowDifference]


def difference(session: Session, file: File, *, to: File, offset: int, limit: int) -> Difference:
    """Compute the changes that lead from `file` to `to`."""
    if file.id == to.id:
        return Difference(same=file.row_count, added=0, removed=0, changed=0, listed=[])
    found = session.execute(DIFFERENCE, {"file_id": file.id, "other_id": to.id, "offset": offset, "limit": limit}).all()
    counted = found[0]
    return Difference(
        same=file.row_count - counted.removed - counted.changed,
        added=counted.added,
        removed=counted.removed,
        changed=counted.changed,
        listed=[
            RowDifference(
                row=each.before,
                other_row=each.after,
                item=without_images(each.item),
                other_item=without_images(each.other_item),
            )
            for each in found
            if each.before is not None or each.after is not None
        ],
    )
