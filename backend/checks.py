"""Work for the queues `check` and `sample`: asked for by the API, done by a worker, answered through the database.

Short work is waited for (`wait_for_check`); what takes longer is answered with the check's id, under which progress and
result are found (`/v1/checks`).
"""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from backend.db.base import Json, utc_now
from backend.db.checks import Check, CheckStatus
from backend.db.engine import transaction
from backend.errors import AppError
from backend.ids import new_id
from backend.queue import CHECK_QUEUE, CHECK_TASK, SAMPLE_QUEUE, send_after_commit

Progress = Callable[[int, int, str], None]
"""Told (done, total, unit) while the work goes on."""
Handler = Callable[[Json, Progress], Json]

POLL_S = 0.03
PROGRESS_S = 0.5
"""Least seconds between two stored figures of progress."""
KEPT = timedelta(days=1)
"""How long a check about nothing that lasts is kept."""
SAMPLED = frozenset({"preflight", "teacher_preview"})
"""Kinds that need a model: they go to the `sample` queue."""
log = structlog.get_logger()


def request_check(
    session: Session, *, kind: str, request: Json, file_id: str | None = None, job_id: str | None = None
) -> Check:
    """Store the request and nudge a worker after the commit."""
    check = Check(
        id=new_id("check"),
        kind=kind,
        status=CheckStatus.QUEUED,
        request=request,
        created_at=utc_now(),
        file_id=file_id,
        job_id=job_id,
    )
    session.add(check)
    session.flush()
    send_after_commit(session, CHECK_TASK, check.id, queue=SAMPLE_QUEUE if kind in SAMPLED else CHECK_QUEUE)
    return check


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


def carry_out(check_id: str, *, handlers: Mapping[str, Handler]) -> None:
    """Do the work and store its result; a second delivery of a finished check changes nothing."""
    with transaction() as session:
        check = session.get(Check, check_id)
        if check is None or check.status != CheckStatus.QUEUED:
            return
    try:
        status, result = CheckStatus.DONE, handlers[check.kind](check.request, _progress_of(check_id))
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
    _finish(check_id, status, result)


def give_up(check_id: str, *, why: str) -> None:
    """The process that worked on it was lost."""
    _finish(check_id, CheckStatus.FAILED, {"message": why, "code": "check_lost", "status": 500})


def forget_old(session: Session) -> None:
    """Delete what nobody waits for any more."""
    session.execute(
        delete(Check).where(Check.created_at < utc_now() - KEPT, Check.file_id.is_(None), Check.job_id.is_(None))
    )


def _finish(check_id: str, status: CheckStatus, result: Json) -> None:
    with transaction() as session:
        stored = session.get(Check, check_id, with_for_update=True)
        if stored is not None and stored.status == CheckStatus.QUEUED:
            stored.status, stored.result, stored.finished_at = status, result, utc_now()


def _progress_of(check_id: str) -> Progress:
    told = -PROGRESS_S

    def tell(done: int, total: int, unit: str) -> None:
        nonlocal told
        if time.monotonic() - told >= PROGRESS_S:
            told = time.monotonic()
            progress = {"done": done, "total": total, "unit": unit}
            with transaction() as session:
                session.execute(update(Check).where(Check.id == check_id).values(progress=progress))

    return tell
