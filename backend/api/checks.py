"""`/v1/checks`: what a worker was asked to find out before or beside training, how far it is, what it found."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import select

from backend.api.http.dependencies import Auth, Database, ObjectId, found
from backend.api.http.paging import ListItem, Page, PageAsked, listed
from backend.checks import ASKED, cancel
from backend.db.base import Json, unix_s
from backend.db.checks import Check, CheckStatus

router = APIRouter(prefix="/checks", tags=["checks"])


class CheckProgress(BaseModel):
    done: int
    total: int
    unit: str


class CheckProblem(BaseModel):
    message: str
    code: str | None
    param: str | None = None


class CheckObject(ListItem):
    """`status` is queued, running, done or failed; `result` belongs to done, `error` to failed. `asked`: the body of
    the request that it answers, where it was a request for a check.
    """

    object: Literal["check"] = "check"
    kind: str
    status: Literal["queued", "running", "done", "failed"]
    created_at: int
    finished_at: int | None
    file_id: str | None
    job_id: str | None
    asked: dict[str, Any] | None
    progress: CheckProgress | None
    result: dict[str, Any] | None
    error: CheckProblem | None


@router.get("")
def list_checks(
    _: Auth,
    session: Database,
    asked: PageAsked,
    kind: Annotated[str | None, Query(max_length=100)] = None,
    file: Annotated[str | None, Query(max_length=100, description="About this file.")] = None,
    job: Annotated[str | None, Query(max_length=100, description="About this job.")] = None,
) -> Page[CheckObject]:
    """The newest first, without their results: those are found by id."""
    statement = select(Check)
    for column, wanted in ((Check.kind, kind), (Check.file_id, file), (Check.job_id, job)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    return listed(session, statement, keys=(Check.created_at, Check.id), asked=asked, show=_in_short)


@router.post("/{check_id}/cancel")
def cancel_check(check_id: ObjectId, _: Auth, session: Database) -> CheckObject:
    """409 where it has ended. A worker stops at its next sign of progress."""
    check = found(session, Check, check_id, kind="check")
    cancel(session, check)
    return shown_check(check)


@router.get("/{check_id}")
def get_check(check_id: ObjectId, _: Auth, session: Database) -> CheckObject:
    return shown_check(found(session, Check, check_id, kind="check"))


def words_of(body: BaseModel) -> Json:
    """What a request for a check said, to be stored with it."""
    return body.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _in_short(check: Check) -> CheckObject:
    return shown_check(check).model_copy(update={"result": None})


def shown_check(check: Check) -> CheckObject:
    failed = check.status == CheckStatus.FAILED
    waiting: Literal["queued", "running"] = "queued" if check.progress is None else "running"
    return CheckObject(
        id=check.id,
        kind=check.kind,
        status="failed" if failed else "done" if check.status == CheckStatus.DONE else waiting,
        created_at=unix_s(check.created_at) or 0,
        finished_at=unix_s(check.finished_at),
        file_id=check.file_id,
        job_id=check.job_id,
        asked=check.request.get(ASKED),
        progress=CheckProgress.model_validate(check.progress) if check.progress and check.progress["total"] else None,
        result=None if failed else check.result,
        error=CheckProblem.model_validate(check.result) if failed else None,
    )
