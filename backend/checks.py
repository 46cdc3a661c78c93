"""Checks: work that the API requests, a worker of the queue `check` or `sample` does, and the database returns.

The API waits for short work (`wait_for_check`); for longer work it returns the check's id, under which progress and
result are available (`/v1/checks`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from backend.core.checks import CheckKind
from backend.db.base import Json, utc_now
from backend.db.checks import Check, CheckStatus
from backend.db.engine import engine, transaction
from backend.db.projects import find_owned
from backend.errors import AppError
from backend.ids import new_id
from backend.queue import CHECK_QUEUE, CHECK_TASK, SAMPLE_QUEUE, queue_length, send_after_commit
from backend.settings import settings

Progress = Callable[[int, int, str], None]
"""Called with (done, total, unit) during the work."""
Handler = Callable[[Json, Progress], Json]


class CheckCancelledError(Exception):
    """The check was cancelled or deleted while a worker was working on it."""


POLL_S = 0.03
PROGRESS_S = 0.5
"""Least seconds between two stored updates of progress."""
KEPT = timedelta(days=1)
"""How long a check that belongs to no file or job is kept."""
LATE = timedelta(seconds=30)
"""How long a check waits before its message may count as lost."""
WORK_LOCK = 7_215_002
"""First number of the advisory locks on checks in progress."""
REQUEST_BODY = "asked"
"""Key under which a stored request keeps the HTTP body that it was created from."""
SAMPLED = frozenset(kind for kind in CheckKind if kind.needs_model)
log = structlog.get_logger()


def request_check(
    session: Session,
    *,
    project: str,
    kind: CheckKind,
    request: Json,
    body: Json | None = None,
    file_id: str | None = None,
    job_id: str | None = None,
) -> Check:
    """Store the request of the project and nudge a worker after the commit.

    `body`: the caller's HTTP body, to identify the check.
    """
    check = Check(
        id=new_id("check"),
        kind=kind,
        status=CheckStatus.QUEUED,
        request=request if body is None else {**request, REQUEST_BODY: body},
        created_at=utc_now(),
        file_id=file_id,
        job_id=job_id,
        project_id=project,
    )
    session.add(check)
    session.flush()
    _nudge(session, check)
    return check


def wait_for_check(check_id: str, *, project: str, timeout_s: float) -> dict[str, Any]:
    """Wait for the result of the project's check and return it.

    Raises AppError: 503 `no_worker` if no worker finishes it in time, or the error with which the check failed.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with transaction() as session:
            check = find_owned(session, Check, check_id, project=project)
            if check is None:
                raise AppError(
                    "The file or job of this check was deleted in the meantime.",
                    status=404,
                    code="not_found",
                    param="id",
                )
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
        f"No worker answered within {timeout_s:g} s: check that a worker for the `check` queue is running.",
        status=503,
        code="no_worker",
        type="server_error",
    )


def carry_out(check_id: str, *, handlers: Mapping[CheckKind, Handler]) -> None:
    """Run a check and store its result. A duplicate delivery of a check that is done or in progress has no effect."""
    with _work_lock(check_id) as acquired:
        if acquired:
            _carry_out(check_id, handlers)


def _carry_out(check_id: str, handlers: Mapping[CheckKind, Handler]) -> None:
    with transaction() as session:
        check = session.get(Check, check_id)
        if check is None or check.status != CheckStatus.QUEUED:
            return
    try:
        _store_progress(check_id, {"done": 0, "total": 0, "unit": ""})
        status, result = CheckStatus.DONE, handlers[CheckKind(check.kind)](check.request, _progress_of(check_id))
    except CheckCancelledError:
        return
    except AppError as error:
        status = CheckStatus.FAILED
        result = {"message": error.message, "code": error.code, "param": error.param, "status": error.status}
    except Exception:
        log.exception("check failed", check=check_id)
        status = CheckStatus.FAILED
        result = {
            "message": "The check failed because of an error in the worker; see the worker's log.",
            "code": "check_crashed",
            "status": 500,
        }
    _finish(check_id, status, result)


def cancel(session: Session, check: Check) -> None:
    """Cancel a check; its worker stops at its next progress report. Raises AppError 409 if the check has ended."""
    session.refresh(check, with_for_update=True)
    if check.status != CheckStatus.QUEUED:
        raise AppError(
            f"The check '{check.id}' has already ended.", status=409, code="check_ended", type="conflict_error"
        )
    check.status, check.finished_at = CheckStatus.FAILED, utc_now()
    check.result = {"message": "The check was cancelled.", "code": "cancelled", "status": 409}


def give_up(check_id: str, *, why: str) -> None:
    """Mark a check as failed after the process that worked on it was lost."""
    _finish(check_id, CheckStatus.FAILED, {"message": why, "code": "check_lost", "status": 500})


def nudge_lost(session: Session) -> None:
    """Send messages for waiting checks again if their queue is empty: the broker may have lost the first ones."""
    late = select(Check).where(Check.status == CheckStatus.QUEUED, Check.created_at < utc_now() - LATE)
    for queue, in_queue in ((CHECK_QUEUE, Check.kind.not_in(SAMPLED)), (SAMPLE_QUEUE, Check.kind.in_(SAMPLED))):
        checks = session.scalars(late.where(in_queue).order_by(Check.created_at)).all()
        if checks and queue_length(queue) == 0:
            for check in checks:
                if session.scalar(select(func.pg_try_advisory_xact_lock(WORK_LOCK, func.hashtext(check.id)))):
                    _nudge(session, check)


def forget_old(session: Session) -> None:
    """Delete old checks that belong to no file or job."""
    session.execute(
        delete(Check).where(Check.created_at < utc_now() - KEPT, Check.file_id.is_(None), Check.job_id.is_(None))
    )


def _nudge(session: Session, check: Check) -> None:
    send_after_commit(session, CHECK_TASK, check.id, queue=SAMPLE_QUEUE if check.kind in SAMPLED else CHECK_QUEUE)


@contextmanager
def _work_lock(check_id: str) -> Iterator[bool]:
    """Try to lock the check, without waiting. The lock belongs to the connection, so killing the process frees it."""
    lock = (WORK_LOCK, func.hashtext(check_id))
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        acquired = bool(connection.scalar(select(func.pg_try_advisory_lock(*lock))))
        try:
            yield acquired
        finally:
            if acquired:
                connection.execute(select(func.pg_advisory_unlock(*lock)))


def _finish(check_id: str, status: CheckStatus, result: Json) -> None:
    with transaction() as session:
        stored = session.get(Check, check_id, with_for_update=True)
        if stored is not None and stored.status == CheckStatus.QUEUED:
            stored.status, stored.result, stored.finished_at = status, result, utc_now()


def _progress_of(check_id: str) -> Progress:
    begun = time.monotonic()
    last_report, budget_s = begun - PROGRESS_S, settings().check_budget_s

    def report_progress(done: int, total: int, unit: str) -> None:
        nonlocal last_report
        now = time.monotonic()
        if now - last_report < PROGRESS_S and done < total:
            return
        last_report = now
        _store_progress(check_id, {"done": done, "total": total, "unit": unit})
        if now - begun > budget_s:
            raise AppError(
                f"The check was stopped after {budget_s:g} s: request less work, or raise RLSD_CHECK_BUDGET_S.",
                status=408,
                code="too_much_work",
            )

    return report_progress


def _store_progress(check_id: str, progress: Json) -> None:
    """Store the progress. Raises CheckCancelledError if the check has been cancelled or deleted."""
    active = (Check.id == check_id, Check.status == CheckStatus.QUEUED)
    with transaction() as session:
        found = session.scalar(update(Check).where(*active).values(progress=progress).returning(Check.id))
    if found is None:
        raise CheckCancelledError
