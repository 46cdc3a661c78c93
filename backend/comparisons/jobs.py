"""Comparison of jobs that were not planned as one, as far as they are comparable."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy.orm import Session

from backend.comparisons.analysis import Analysis, analyse
from backend.comparisons.cache import AnalysisCache
from backend.comparisons.store import evaluation_key, load_run
from backend.db.jobs import Job


def compare_jobs(session: Session, jobs: Sequence[Job], *, cache: AnalysisCache) -> Analysis:
    """Compare the jobs at their end, each as an arm of its own, with the first."""
    return cache.get(evaluation_key(session, jobs), lambda: _compared(session, jobs))


def _compared(session: Session, jobs: Sequence[Job]) -> Analysis:
    names = _names(jobs)
    runs = [load_run(session, job, arm=name) for job, name in zip(jobs, names, strict=True)]
    success_above = jobs[0].spec["success_above"]
    reason = why_not_comparable(jobs)
    if reason is None:
        return analyse(names, runs, budget="steps", limit=None, success_above=success_above)
    separate = [analyse([run.arm], [run], budget="steps", limit=None, success_above=success_above) for run in runs]
    return Analysis(0, [arm for analysis in separate for arm in analysis.arms], reason)


def why_not_comparable(jobs: Sequence[Job]) -> str | None:
    """Return reason the jobs' scores are not comparable, in one sentence; None if they are."""
    if len({job.validation_file or job.training_file for job in jobs}) > 1:
        return "These jobs were evaluated on different held-out data. Their scores are listed separately below."
    if any(job.grader != jobs[0].grader for job in jobs):
        return "These jobs were scored by different verifiers. Their scores are listed separately below."
    return None


def _names(jobs: Sequence[Job]) -> list[str]:
    """Return display names; with the end of the id if a name is not unique."""
    plain = [job.suffix or job.model.rsplit("/", 1)[-1] for job in jobs]
    counted = Counter(plain)
    return [
        name if job.suffix and counted[name] == 1 else f"{name} · {job.id[-6:]}"
        for job, name in zip(jobs, plain, strict=True)
    ]
