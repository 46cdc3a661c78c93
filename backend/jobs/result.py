"""The result of a job on its held-out questions."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from backend.core.methods import IMITATING
from backend.core.outcome import Verdict, verdict_of
from backend.db.jobs import Job
from backend.db.training import held_out_figures
from backend.jobs.lifecycle import JobState


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict, with the figures by phase (baseline, warm, trained) that it follows from, as stored."""

    verdict: Verdict
    evaluations: dict[str, dict[str, Any]]


def results_of(session: Session, jobs: Collection[Job]) -> dict[str, Result]:
    """Return the results by job id; jobs that have not been measured after training have none."""
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for job_id, phase, found in held_out_figures(session, jobs):
        figures.setdefault(job_id, {})[phase] = found
    results = {}
    for job in jobs:
        evaluations = figures.get(job.id, {})
        verdict = verdict_of(
            evaluations,
            learned=job.state != JobState.SUCCEEDED or job.trained_tokens > 0,
            imitates=job.spec.get("method") in IMITATING,
        )
        if verdict is not None:
            results[job.id] = Result(verdict, evaluations)
    return results
