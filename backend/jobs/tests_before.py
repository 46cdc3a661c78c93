"""What was tried before a job: the pre-flights of its dataset, as part of its record."""

from sqlalchemy.orm import Session

from backend.core.checks import CheckKind
from backend.db.base import unix_s
from backend.db.checks import done_checks
from backend.db.files import File
from backend.db.jobs import Job
from backend.jobs import events

MOST_TESTS = 5


def record_tests(session: Session, job: Job, *, file: File) -> None:
    """Record the newest pre-flights of the job's dataset as an event, with those of their settings that differ."""
    tests = done_checks(session, file, kind=CheckKind.PREFLIGHT, limit=MOST_TESTS)
    if not tests:
        return
    tried = [
        {
            "check": test.id,
            "created_at": unix_s(test.created_at),
            "model": test.request["model"],
            "verdict": (test.result or {})["verdict"],
            "summary": (test.result or {})["summary"],
            "solve_rate": ((test.result or {}).get("solve_rate") or {}).get("mean"),
            "other_settings": {
                name: value for name, value in test.request["settings"].items() if job.spec.get(name) != value
            },
        }
        for test in reversed(tests)
    ]
    events.record(
        session,
        job.id,
        code="preflights",
        message=f"Tested before: {'; '.join(each['summary'] for each in tried)}",
        data={"preflights": tried},
    )
