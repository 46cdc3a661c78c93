"""Rows that repeat: within one file, and between two, of which one may be meant to judge what the other taught.

Counted by the database over the stored rows, so the size of the files does not matter to the service.
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

LISTED = 100
REPEATED = text(
    """
    SELECT min(line) AS first, count(*) AS rows, (array_agg(line ORDER BY line))[2:11] AS others
    FROM dataset_rows WHERE file_id = :file_id GROUP BY row_hash HAVING count(*) > 1 ORDER BY 1
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
    SELECT mine.line AS line, theirs.line AS their_line, mine.row_hash = ANY(theirs.hashes) AS whole
    FROM mine JOIN theirs USING (asked) ORDER BY 1
    """
)


def repeated_rows(session: Session, file_id: str) -> dict[str, Any]:
    """`rows`: how many are exactly like an earlier one. `groups`: the first hundred such sets, by line."""
    found = session.execute(REPEATED, {"file_id": file_id}).all()
    groups = [{"first": first, "rows": rows, "others": others} for first, rows, others in found[:LISTED]]
    return {"rows": sum(group.rows - 1 for group in found), "groups": groups}


def overlap(session: Session, file_id: str, *, against: str) -> dict[str, Any]:
    """`questions`: how many rows of a file ask what a row of the other asks. `rows`: how many are equal to one."""
    found = session.execute(SHARED, {"file_id": file_id, "against": against}).all()
    return {
        "against": against,
        "rows": sum(bool(shared.whole) for shared in found),
        "questions": len(found),
        "pairs": [
            {"line": shared.line, "their_line": shared.their_line, "same_row": bool(shared.whole)}
            for shared in found[:LISTED]
        ],
    }
