"""How rows have fared in jobs, found by their hash: a row's history is that of every equal row, in whatever version.

Counted by the database. A completion is graded when it has a score, and solves its row
with a score above its job's `success_above`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

RATES = text(
    """
    WITH answered AS (
        SELECT row, count(record->>'score') AS graded, count(*) FILTER (
            WHERE CAST(record->>'score' AS float) > CAST(jobs.spec->>'success_above' AS float)
        ) AS solved
        FROM rollouts JOIN jobs ON jobs.id = job_id WHERE job_id = :job_id GROUP BY row
    ), known AS (
        SELECT row_hash, sum(graded) AS graded, sum(solved) AS solved
        FROM answered JOIN jobs ON jobs.id = :job_id
        JOIN dataset_rows ON file_id = jobs.training_file AND number = answered.row
        GROUP BY row_hash
    )
    SELECT number, CAST(graded AS bigint) AS graded, CAST(solved AS bigint) AS solved
    FROM dataset_rows JOIN known USING (row_hash) WHERE file_id = :file_id
    """
)
FARED = text(
    """
    WITH twins AS MATERIALIZED (
        SELECT row_hash, jobs.id AS job_id, jobs.created_at, file_id, number,
               CAST(jobs.spec->>'success_above' AS float) AS success_above
        FROM dataset_rows JOIN jobs ON jobs.training_file = file_id
        WHERE row_hash = ANY(:hashes) AND jobs.project_id = :project
    )
    SELECT row_hash, twins.job_id, min(file_id) AS file_id, count(*) AS completions,
           count(record->>'score') AS graded,
           count(*) FILTER (WHERE CAST(record->>'score' AS float) > success_above) AS solved,
           avg(CAST(record->>'score' AS float)) AS mean_score, max(step) AS last_step
    FROM twins JOIN rollouts ON rollouts.job_id = twins.job_id AND rollouts.row = twins.number
    GROUP BY row_hash, twins.job_id, twins.created_at ORDER BY twins.created_at, twins.job_id
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowHistoryEntry:
    """What one job did with a row. `file_id`: the file it was trained on, of which the row may be another version."""

    job_id: str
    file_id: str
    completions: int
    graded: int
    solved: int
    mean_score: float | None
    last_step: int

    @property
    def solve_rate(self) -> float | None:
        """The solved share of the graded completions; None where none was graded."""
        return self.solved / self.graded if self.graded else None


def fared(session: Session, hashes: Sequence[str]) -> dict[str, list[RowHistoryEntry]]:
    """By row hash, what each job of the session's project did with such rows, the oldest job first."""
    project = session.info["project"]
    histories: dict[str, list[RowHistoryEntry]] = {}
    for row_hash, *figures in session.execute(FARED, {"hashes": list(hashes), "project": project}):
        job_id, file_id, completions, graded, solved, mean_score, last_step = figures
        histories.setdefault(row_hash, []).append(
            RowHistoryEntry(
                job_id=job_id,
                file_id=file_id,
                completions=completions,
                graded=graded,
                solved=solved,
                mean_score=mean_score,
                last_step=last_step,
            )
        )
    return histories


def rates(session: Session, *, file_id: str, job_id: str) -> Mapping[int, tuple[int, int]]:
    """(graded, solved) completions of a job by the number of the file's row that equals the one it answered."""
    found = session.execute(RATES, {"file_id": file_id, "job_id": job_id})
    return {number: (graded, solved) for number, graded, solved in found}
