"""What was found of a job before its first step, and that someone trained regardless.

`jobs.checks` keeps the common form of each result, `jobs.check_details` all of it.

Each result has the common form (backend/verdict.py). A check whose result is recorded is not run again.
"""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy.orm import Session

from backend.db.base import Json, unix_s, utc_now
from backend.db.jobs import Job
from backend.jobs import events
from backend.verdict import Level

CheckName = Literal["self_check", "preflight"]

TITLES: dict[CheckName, str] = {
    "self_check": "self-check of the verifier",
    "preflight": "pre-flight with the base model",
}
PARAMS: dict[CheckName, str | None] = {"self_check": "method.reinforcement.grader", "preflight": None}
"""What of the request a failed check speaks of."""
CHECK_FAILED = "check_failed"
_EVENTS = {Level.PASS: ("passed", "info"), Level.WARN: ("warned", "warn"), Level.FAIL: ("failed", "error")}


def checks_of(job: Job) -> Json:
    """`{self_check, preflight, overridden_at}` in short, each None while there is nothing."""
    return nothing() | (job.checks or {})


def checks_in_full(job: Job) -> Json:
    """What `checks_of` gives, with the details of every check."""
    return checks_of(job) | (job.check_details or {})


def nothing() -> Json:
    """What is known of a job before any check."""
    return {**dict.fromkeys(TITLES), "overridden_at": None}


def record(session: Session, job: Job, *, check: CheckName, result: Mapping[str, Any]) -> None:
    """Keep a check's result and tell of it."""
    job.checks = checks_of(job) | {check: in_short(result)}
    job.check_details = (job.check_details or {}) | {check: dict(result)}
    word, level = _EVENTS[Level(result["verdict"])]
    events.record(
        session,
        job.id,
        code=f"check.{word}",
        level=level,
        message=f"The {TITLES[check]} {word}: {result['summary']}",
        data={"check": check} | in_short(result),
    )


def pauses(result: Mapping[str, Any], *, on_failed_check: str) -> bool:
    """Whether a job waits for a person after such a result."""
    return result["verdict"] == Level.FAIL and on_failed_check == "pause"


def refusal(check: CheckName, result: Mapping[str, Any]) -> Json:
    """The error with which a job pauses."""
    return {
        "code": CHECK_FAILED,
        "message": f"Paused before training: the {TITLES[check]} failed. {result['summary']} Mend that and start a new "
        "job, or resume this one to train regardless.",
        "param": PARAMS[check],
    }


def override(session: Session, job: Job) -> None:
    """Someone resumed a job that a failed check had paused: it goes on, and that stays on record."""
    job.checks = checks_of(job) | {"overridden_at": unix_s(utc_now())}
    failed = [check for check in TITLES if (checks_of(job)[check] or {}).get("verdict") == Level.FAIL]
    events.record(
        session,
        job.id,
        code="check.overridden",
        level="warn",
        message="Resumed regardless of what failed before training.",
        data={"checks": failed},
    )


def in_short(result: Mapping[str, Any]) -> Json:
    """The common form alone, without what a check adds to it."""
    return {name: result[name] for name in ("verdict", "summary", "findings")}


def all_in_short(checks: Mapping[str, Any]) -> Json:
    """What `checks_in_full` gives, without the details of any check."""
    short = {check: None if checks[check] is None else in_short(checks[check]) for check in TITLES}
    return short | {"overridden_at": checks["overridden_at"]}
