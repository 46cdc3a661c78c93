"""Short work for the `check` queue: asked for by the API, done beside the sandbox, answered through the database."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import delete
from sqlalchemy.orm import Session

from backend.db.base import Json, utc_now
from backend.db.checks import Check, CheckStatus
from backend.db.engine import transaction
from backend.errors import AppError
from backend.ids import new_id
from backend.queue import CHECK_TASK, send_after_commit

POLL_S = 0.03
KEPT = timedelta(days=1)
"""How long a request and its result are kept."""
log = structlog.get_logger()


def request_check(session: Session, *, kind: str, request: Json) -> str:
    """Store the request and nudge a worker after the commit. Returns the check's id."""
    check = Check(
        id=new_id("check"), kind=kind, status=CheckStatus.QUEUED, request=request, result=None, created_at=utc_now()
    )
    session.add(check)
    session.flush()
    send_after_commit(session, CHECK_TASK, check.id)
    return check.id


def wait_for_check(check_id: str, *, timeout_s: float) -> dict[str, Any]:
    """The result, once a worker has stored it.

    Raises AppError: 503 `no_worker` when none answers in time, the check's own refusal when it failed.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with transaction() as session:
            check = session.get_one(Check, check_id)
            if check.status == CheckStatus.DONE:
                return dict(check.result or {})
            if check.status == CheckStatus.FAILED:
                problem = check.result or {}
                status = int(problem.get("status", 400))
                raise AppError(
                    str(problem.get("message")),
                    status=status,
                    code=problem.get("code"),
                    param=problem.get("param"),
                    type="invalid_request_error" if status < 500 else "server_error",
                )
        time.sleep(POLL_S)
    raise AppError(
        f"No worker answered within {timeout_s:g} s: see that a worker of the `check` queue is running.",
        status=503,
        code="no_worker",
        type="server_error",
    )


def carry_out(check_id: str, *, handlers: Mapping[str, Callable[[Json], Json]]) -> None:
    """Do the work and store its result; a second delivery of a finished check changes nothing."""
    with transaction() as session:
        check = session.get(Check, check_id)
        if check is None or check.status != CheckStatus.QUEUED:
            return
    try:
        status, result = CheckStatus.DONE, handlers[check.kind](check.request)
    except AppError as error:
        status = CheckStatus.FAILED
        result = {"message": error.message, "code": error.code, "param": error.param, "status": error.status}
    except Exception:
        log.exception("check failed", check=check_id)
        status = CheckStatus.FAILED
        result = {
            "message": "The check failed; the worker's log says why.",
            "code": "check_crashed",
            "status": 500,
        }
    with transaction() as session:
        stored = session.get(Check, check_id, with_for_update=True)
        if stored is not None and stored.status == CheckStatus.QUEUED:
            stored.status, stored.result, stored.finished_at = status, result, utc_now()


def forget_old(session: Session) -> None:
    """Delete what nobody waits for any more."""
    session.execute(delete(Check).where(Check.created_at < utc_now() - KEPT))
