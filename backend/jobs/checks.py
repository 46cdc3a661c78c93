"""Results of the checks before a job's first step, and whether a person overrode them.

`jobs.checks` stores the common form of each result (backend/core/verdict.py), `jobs.check_details` the whole result. A
check whose result is recorded is not run again.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from backend.core.checks import CheckKind, CheckName
from backend.core.control import EventLevel
from backend.core.verdict import Level
from backend.db.base import Json, unix_s, utc_now
from backend.db.jobs import Job
from backend.jobs import events

TITLES: dict[CheckName, str] = {
    CheckKind.SELF_CHECK: "self-check of the verifier",
    CheckKind.PREFLIGHT: "pre-flight with the base model",
}
PARAMS: dict[CheckName, str | None] = {
    CheckKind.SELF_CHECK: "method.reinforcement.grader",
    CheckKind.PREFLIGHT: None,
}
"""The request parameter that a failed check refers to."""
CHECK_FAILED = "check_failed"
_EVENTS: Mapping[Level, tuple[str, EventLevel]] = {
    Level.PASS: ("passed", "info"),
    Level.WARN: ("warned", "warn"),
    Level.FAIL: ("failed", "error"),
}


def checks_of(job: Job) -> Json:
    """Return `{self_check, preflight, overridden_at}` in the common form; None for what is not there yet."""
    return no_checks() | (job.checks or {})


def detailed_checks(job: Job) -> Json:
    """Return the same as `checks_of`, with the details of every check."""
    return checks_of(job) | (job.check_details or {})


def no_checks() -> Json:
    """Return the value of `checks_of` before any check has run."""
    return {**dict.fromkeys(TITLES), "overridden_at": None}


def record(session: Session, job: Job, *, check: CheckName, result: Mapping[str, Any]) -> None:
    """Store a check's result and record an event."""
    job.checks = checks_of(job) | {check: common_form(result)}
    job.check_details = (job.check_details or {}) | {check: dict(result)}
    outcome, level = _EVENTS[Level(result["verdict"])]
    events.record(
        session,
        job.id,
        code=f"check.{outcome}",
        level=level,
        message=f"The {TITLES[check]} {outcome}: {result['summary']}",
        data={"check": check} | common_form(result),
    )


def pauses(result: Mapping[str, Any], *, on_failed_check: str) -> bool:
    """Return whether the job pauses for a person after this result."""
    return result["verdict"] == Level.FAIL and on_failed_check == "pause"


def pause_error(check: CheckName, result: Mapping[str, Any]) -> Json:
    """Return the error that a job paused by a failed check carries."""
    return {
        "code": CHECK_FAILED,
        "message": f"Paused before training: the {TITLES[check]} failed. {result['summary']} Fix this and create a "
        "new job, or resume this job to train anyway.",
        "param": PARAMS[check],
    }


def override(session: Session, job: Job) -> None:
    """Record that a person resumed a job paused by a failed check."""
    job.checks = checks_of(job) | {"overridden_at": unix_s(utc_now())}
    failed = [check for check in TITLES if (checks_of(job)[check] or {}).get("verdict") == Level.FAIL]
    events.record(
        session,
        job.id,
        code="check.overridden",
        level="warn",
        message="Resumed despite a failed check before training.",
        data={"checks": failed},
    )


def common_form(result: Mapping[str, Any]) -> Json:
    """Return only the common form of a result, without the check's own fields."""
    return {name: result[name] for name in ("verdict", "summary", "findings")}


def without_details(checks: Mapping[str, Any]) -> Json:
    """Return the value of `detailed_checks` without the details of any check."""
    short = {check: None if checks[check] is None else common_form(checks[check]) for check in TITLES}
    return short | {"overridden_at": checks["overridden_at"]}
