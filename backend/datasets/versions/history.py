"""The results of dataset rows in jobs, found by row hash: equal rows share a history across files and versions.

Computed by the database. A completion is graded if it has a score, and solves its row if the score is above its job's
`success_above`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from backend.db.files import File
from backend.db.jobs import Job

SOLVE_COUNTS = text(
    """
    WITH counted AS (
        SELECT row, count(record->>'score') AS graded, count(*) FILTER (
            WHERE CAST(record->>'score' AS float) > CAST(jobs.spec->>'success_above' AS float)
        ) AS solved
        FROM rollouts JOIN jobs ON jobs.id = job_id WHERE job_id = :job_id GROUP BY row
    ), known AS (
        SELECT row_hash, sum(graded) AS graded, sum(solved) AS solved
        FROM counted JOIN jobs ON jobs.id = :job_id
        JOIN dataset_rows ON file_id = jobs.training_file AND number = counted.row
        GROUP BY row_hash
    )
    SELECT number, CAST(graded AS bigint) AS graded, CAST(solved AS bigint) AS solved
    FROM dataset_rows JOIN known USING (row_hash) WHERE file_id = :file_id
    """
)
ROW_HISTORIES = text(
    """
    WITH equal_rows AS MATERIALIZED (
        SELECT row_hash, jobs.id AS job_id, jobs.created_at, file_id, number,
               CAST(jobs.spec->>'success_above' AS float) AS success_above
        FROM dataset_rows JOIN jobs ON jobs.training_file = file_id
        WHERE row_hash = ANY(:hashes) AND jobs.project_id = :project
    )
    SELECT row_hash, equal_rows.job_id, min(file_id) AS file_id, count(*) AS completions,
           count(record->>'score') AS graded,
           count(*) FILTER (WHERE CAST(record->>'score' AS float) > success_above) AS solved,
           avg(CAST(record->>'score' AS float)) AS mean_score, max(step) AS last_step
    FROM equal_rows JOIN rollouts ON rollouts.job_id = equal_rows.job_id AND rollouts.row = equal_rows.number
    GROUP BY row_hash, equal_rows.job_id, equal_rows.created_at ORDER BY equal_rows.created_at, equal_rows.job_id
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowHistoryEntry:
    """The results of one job on a row. `file_id`: the training file of the job, which may be another version."""

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


def row_histories(session: Session, hashes: Sequence[str], *, project: str) -> dict[str, list[RowHistoryEntry]]:
    """Return, by row hash, the results of each job of the project on such rows, the oldest job first."""
    histories: dict[str, list[RowHistoryEntry]] = {}
    for row_hash, *figures in session.execute(ROW_HISTORIES, {"hashes": list(hashes), "project": project}):
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


def solve_counts(session: Session, file: File, job: Job) -> Mapping[int, tuple[int, int]]:
    """Count a job's (graded, solved) completions by row number of this file, for rows equal to those it trained on."""
    found = session.execute(SOLVE_COUNTS, {"file_id": file.id, "job_id": job.id})
    return {number: (graded, solved) for number, graded, solved in found}
