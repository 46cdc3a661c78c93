"""Rows that repeat: within one file, and between two, of which one may be meant to judge what the other taught.

Counted by the database over the stored rows, so the size of the files does not matter to the service.
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

LISTED = 100
REPEATED = text(
    """
    SELECT min(line) AS first, count(*) AS rows, (array_agg(line ORDER BY line))[2:11] AS others,
           CAST(sum(count(*) - 1) OVER () AS bigint) AS repeated
    FROM dataset_rows WHERE file_id = :file_id GROUP BY row_hash HAVING count(*) > 1 ORDER BY 1 LIMIT :listed
    """
)
SHARED = text(
    """
    WITH mine AS (
        SELECT line, row_hash, md5((normal->>'messages') || (normal->>'images')) AS asked
        FROM dataset_rows WHERE file_id = :file_id
    ), theirs AS (
        SELECT min(line) AS line, array_agg(row_hash) AS hashes,
               md5((normal->>'messages') || (normal->>'images')) AS asked
        FROM dataset_rows WHERE file_id = :against GROUP BY 3
    )
    SELECT mine.line AS line, theirs.line AS their_line, mine.row_hash = ANY(theirs.hashes) AS whole,
           count(*) OVER () AS questions,
           count(*) FILTER (WHERE mine.row_hash = ANY(theirs.hashes)) OVER () AS rows
    FROM mine JOIN theirs USING (asked) ORDER BY 1 LIMIT :listed
    """
)


def repeated_rows(session: Session, file_id: str) -> dict[str, Any]:
    """`rows`: how many are exactly like an earlier one. `groups`: the first hundred such sets, by line."""
    found = session.execute(REPEATED, {"file_id": file_id, "listed": LISTED}).all()
    groups = [{"first": group.first, "rows": group.rows, "others": group.others} for group in found]
    return {"rows": found[0].repeated if found else 0, "groups": groups}


def overlap(session: Session, file_id: str, *, against: str) -> dict[str, Any]:
    """`questions`: how many rows of a file ask what a row of the other asks. `rows`: how many are equal to one."""
    found = session.execute(SHARED, {"file_id": file_id, "against": against, "listed": LISTED}).all()
    return {
        "against": against,
        "rows": found[0].rows if found else 0,
        "questions": found[0].questions if found else 0,
        "pairs": [
            {"line": shared.line, "their_line": shared.their_line, "same_row": bool(shared.whole)} for shared in found
        ],
    }
