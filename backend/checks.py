"""Work for the queues `check` and `sample`: asked for by the API, done by a worker, answered through the database.

Short work is waited for (`wait_for_check`); what takes longer is answered with the check's id, under which progress and
result are found (`/v1/checks`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from backend.db.base import Json, utc_now
from backend.db.checks import Check, CheckStatus
from backend.db.engine import engine, transaction
from backend.errors import AppError
from backend.ids import new_id
from backend.queue import CHECK_QUEUE, CHECK_TASK, SAMPLE_QUEUE, send_after_commit, waiting
from backend.settings import settings

Progress = Callable[[int, int, str], None]
"""Told (done, total, unit) while the work goes on."""
Handler = Callable[[Json, Progress], Json]


class CheckCancelledError(Exception):
    """Whoever asked for the work wants it no more."""


POLL_S = 0.03
PROGRESS_S = 0.5
"""Least seconds between two stored figures of progress."""
KEPT = timedelta(days=1)
"""How long a check about nothing that lasts is kept."""
LATE = timedelta(seconds=30)
"""How long a check waits before its nudge may count as lost."""
WORK_LOCK = 7_215_002
"""First number of the advisory locks on checks that are being worked on."""
ASKED = "asked"
"""Where a request keeps the body that it was made of."""
SAMPLED = frozenset({"preflight", "teacher_preview", "export"})
"""Kinds that need a model: they go to the `sample` queue."""
log = structlog.get_logger()


def request_check(
    session: Session,
    *,
    kind: str,
    request: Json,
    asked: Json | None = None,
    file_id: str | None = None,
    job_id: str | None = None,
) -> Check:
    """Store the request and nudge a worker after the commit. `asked`: the words of whoever asked, to know it by."""
    check = Check(
        id=new_id("check"),
        kind=kind,
        status=CheckStatus.QUEUED,
        request=request if asked is None else {**request, ASKED: asked},
        created_at=utc_now(),
        file_id=file_id,
        job_id=job_id,
    )
    session.add(check)
    session.flush()
    _nudge(session, check)
    return check


def wait_for_check(check_id: str, *, timeout_s: float) -> dict[str, Any]:
    """The result, once a worker has stored it.

    Raises AppError: 503 `no_worker` when none answers in time, the check's own refusal when it failed.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with transaction() as session:
            check = session.get(Check, check_id)
            if check is None:
                raise AppError(
                    "What the check is about was deleted meanwhile.", status=404, code="not_found", param="id"
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
        f"No worker answered within {timeout_s:g} s: see that a worker of the `check` queue is running.",
        status=503,
        code="no_worker",
        type="server_error",
    )


def carry_out(check_id: str, *, handlers: Mapping[str, Handler]) -> None:
    """Do the work and store its result; a second delivery of a check that is done or at work changes nothing."""
    with _at_work(check_id) as alone:
        if alone:
            _carry_out(check_id, handlers)


def _carry_out(check_id: str, handlers: Mapping[str, Handler]) -> None:
    with transaction() as session:
        check = session.get(Check, check_id)
        if check is None or check.status != CheckStatus.QUEUED:
            return
    try:
        _tell(check_id, {"done": 0, "total": 0, "unit": ""})
        status, result = CheckStatus.DONE, handlers[check.kind](check.request, _progress_of(check_id))
    except CheckCancelledError:
        return
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


def cancel(session: Session, check: Check) -> None:
    """Nobody wants it any more; who works on it stops where it next tells how far it is. Raises AppError 409."""
    session.refresh(check, with_for_update=True)
    if check.status != CheckStatus.QUEUED:
        raise AppError(
            f"The check '{check.id}' has ended already.", status=409, code="check_ended", type="conflict_error"
        )
    check.status, check.finished_at = CheckStatus.FAILED, utc_now()
    check.result = {"message": "The check was cancelled.", "code": "cancelled", "status": 409}


def give_up(check_id: str, *, why: str) -> None:
    """The process that worked on it was lost."""
    _finish(check_id, CheckStatus.FAILED, {"message": why, "code": "check_lost", "status": 500})


def nudge_lost(session: Session) -> None:
    """Nudge again for checks that nobody works on, where the broker holds no nudge any more: it may have lost them."""
    late = select(Check).where(Check.status == CheckStatus.QUEUED, Check.created_at < utc_now() - LATE)
    for queue, belongs in ((CHECK_QUEUE, Check.kind.not_in(SAMPLED)), (SAMPLE_QUEUE, Check.kind.in_(SAMPLED))):
        checks = session.scalars(late.where(belongs).order_by(Check.created_at)).all()
        if checks and waiting(queue) == 0:
            for check in checks:
                if session.scalar(select(func.pg_try_advisory_xact_lock(WORK_LOCK, func.hashtext(check.id)))):
                    _nudge(session, check)


def forget_old(session: Session) -> None:
    """Delete what nobody waits for any more."""
    session.execute(
        delete(Check).where(Check.created_at < utc_now() - KEPT, Check.file_id.is_(None), Check.job_id.is_(None))
    )


def _nudge(session: Session, check: Check) -> None:
    send_after_commit(session, CHECK_TASK, check.id, queue=SAMPLE_QUEUE if check.kind in SAMPLED else CHECK_QUEUE)


@contextmanager
def _at_work(check_id: str) -> Iterator[bool]:
    """Whether nobody else works on it. The lock is the connection's: it goes with a process that is killed."""
    lock = (WORK_LOCK, func.hashtext(check_id))
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        alone = bool(connection.scalar(select(func.pg_try_advisory_lock(*lock))))
        try:
            yield alone
        finally:
            if alone:
                connection.execute(select(func.pg_advisory_unlock(*lock)))


def _finish(check_id: str, status: CheckStatus, result: Json) -> None:
    with transaction() as session:
        stored = session.get(Check, check_id, with_for_update=True)
        if stored is not None and stored.status == CheckStatus.QUEUED:
            stored.status, stored.result, stored.finished_at = status, result, utc_now()


def _progress_of(check_id: str) -> Progress:
    begun = time.monotonic()
    told, budget_s = begun - PROGRESS_S, settings().check_budget_s

    def tell(done: int, total: int, unit: str) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < PROGRESS_S and done < total:
            return
        told = now
        _tell(check_id, {"done": done, "total": total, "unit": unit})
        if now - begun > budget_s:
            raise AppError(
                f"The work was stopped after {budget_s:g} s: ask for less, or raise RLSD_CHECK_BUDGET_S.",
                status=408,
                code="too_much_work",
            )

    return tell


def _tell(check_id: str, progress: Json) -> None:
    """Store how far it is. Raises CheckCancelledError where nobody wants it any more."""
    wanted = (Check.id == check_id, Check.status == CheckStatus.QUEUED)
    with transaction() as session:
        found = session.scalar(update(Check).where(*wanted).values(progress=progress).returning(Check.id))
    if found is None:
        raise CheckCancelledError
