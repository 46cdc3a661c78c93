"""Jobs that were not planned as a comparison, beside each other: what may be said of them, and what may not."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy.orm import Session

from backend.comparisons.analysis import Analysis, analyse
from backend.comparisons.kept import kept
from backend.comparisons.store import load_run, measured_so_far
from backend.db.jobs import Job


def compare_jobs(session: Session, jobs: Sequence[Job]) -> Analysis:
    """Each job is an arm of its own, in this order, at its end; the others are compared with the first."""
    return kept.get(measured_so_far(session, [job.id for job in jobs]), lambda: _compared(session, jobs))


def _compared(session: Session, jobs: Sequence[Job]) -> Analysis:
    names = _names(jobs)
    runs = [load_run(session, job, arm=name) for job, name in zip(jobs, names, strict=True)]
    success_above = jobs[0].spec["success_above"]
    why = why_not_paired(jobs)
    if why is None:
        return analyse(names, runs, budget="steps", limit=None, success_above=success_above)
    each = [analyse([run.arm], [run], budget="steps", limit=None, success_above=success_above) for run in runs]
    return Analysis(0, [arm for alone in each for arm in alone.arms], why)


def why_not_paired(jobs: Sequence[Job]) -> str | None:
    """One sentence where the jobs' scores do not speak of the same thing; None where they do."""
    if len({job.validation_file or job.training_file for job in jobs}) > 1:
        return "These jobs were measured on different held-out data. What each scored stands below."
    if any(job.grader != jobs[0].grader for job in jobs):
        return "These jobs were scored by different verifiers. What each scored stands below."
    return None


def _names(jobs: Sequence[Job]) -> list[str]:
    """What people call them; with the end of the id where two are called the same."""
    plain = [job.suffix or job.model.rsplit("/", 1)[-1] for job in jobs]
    counted = Counter(plain)
    return [
        name if job.suffix and counted[name] == 1 else f"{name} · {job.id[-6:]}"
        for job, name in zip(jobs, plain, strict=True)
    ]
