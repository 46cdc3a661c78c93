"""Duplicate rows within one file, and rows that two files share, such as training and validation file.

Computed by the database over the stored rows, so the memory of the service does not grow with the files.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from backend.datasets.analysis.findings import excerpt, message_text
from backend.db.files import DatasetRow, File

LISTED = 100
REPEATED = text(
    """
    SELECT min(line) AS first, count(*) AS rows, (array_agg(line ORDER BY number))[2:11] AS others,
           min(number) AS number, (array_agg(number ORDER BY number))[2:11] AS other_numbers,
           CAST(sum(count(*) - 1) OVER () AS bigint) AS repeated
    FROM dataset_rows WHERE file_id = :file_id GROUP BY row_hash HAVING count(*) > 1 ORDER BY min(number) LIMIT :listed
    """
)
SHARED = text(
    """
    WITH mine AS (
        SELECT line, number, row_hash, md5((normal->>'messages') || (normal->>'images')) AS question
        FROM dataset_rows WHERE file_id = :file_id
    ), theirs AS (
        SELECT min(line) AS line, min(number) AS number, array_agg(row_hash) AS hashes,
               md5((normal->>'messages') || (normal->>'images')) AS question
        FROM dataset_rows WHERE file_id = :against GROUP BY question
    )
    SELECT mine.line AS line, theirs.line AS their_line, mine.number AS number,
           theirs.number AS their_number, mine.row_hash = ANY(theirs.hashes) AS whole,
           count(*) OVER () AS questions,
           count(*) FILTER (WHERE mine.row_hash = ANY(theirs.hashes)) OVER () AS rows
    FROM mine JOIN theirs USING (question) ORDER BY mine.number LIMIT :listed
    """
)


def repeated_rows(session: Session, file: File) -> dict[str, Any]:
    """Find exact duplicates. `rows` counts those equal to an earlier row; `groups` lists the first hundred sets."""
    found = session.execute(REPEATED, {"file_id": file.id, "listed": LISTED}).all()
    questions = _questions(session, file, {group.number for group in found})
    groups = [
        {
            "first": group.first,
            "rows": group.rows,
            "others": group.others,
            "number": group.number,
            "other_numbers": group.other_numbers,
            "question": questions[group.number],
        }
        for group in found
    ]
    return {"rows": found[0].repeated if found else 0, "groups": groups}


def overlap(session: Session, file: File, *, against: File) -> dict[str, Any]:
    """Compare two files. `questions` counts rows with a question of the other file, `rows` equal rows."""
    found = session.execute(SHARED, {"file_id": file.id, "against": against.id, "listed": LISTED}).all()
    questions = _questions(session, file, {shared.number for shared in found})
    return {
        "against": against.id,
        "rows": found[0].rows if found else 0,
        "questions": found[0].questions if found else 0,
        "pairs": [
            {
                "line": shared.line,
                "their_line": shared.their_line,
                "same_row": bool(shared.whole),
                "number": shared.number,
                "their_number": shared.their_number,
                "question": questions[shared.number],
            }
            for shared in found
        ],
    }


def _questions(session: Session, file: File, numbers: Collection[int]) -> dict[int, str]:
    """Return an excerpt of the question of each of these rows, by row number."""
    rows = select(DatasetRow.number, DatasetRow.normal["messages"]).where(
        DatasetRow.file_id == file.id, DatasetRow.number.in_(numbers)
    )
    return {number: excerpt(message_text(messages)) for number, messages in session.execute(rows)}
