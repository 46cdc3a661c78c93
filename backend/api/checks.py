"""`/v1/checks`: background checks run by a worker (pre-flight, self-check, …), with their progress and result."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from backend.api.http.dependencies import Database, ObjectId, get_or_404
from backend.api.http.paging import ListItem, Page, PageParams, page_of
from backend.api.http.rights import ChecksRead, ChecksWrite
from backend.checks import REQUEST_BODY, cancel
from backend.db.base import Json, unix_s
from backend.db.checks import Check, CheckStatus, checks_of

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
    """A check. `result` is set when `status` is done, `error` when it is failed. `asked` is the body of the request
    that created it, if any.
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
    caller: ChecksRead,
    session: Database,
    query: PageParams,
    kind: Annotated[str | None, Query(max_length=100)] = None,
    file: Annotated[str | None, Query(max_length=100, description="Only checks of this file.")] = None,
    job: Annotated[str | None, Query(max_length=100, description="Only checks of this job.")] = None,
) -> Page[CheckObject]:
    """List checks, newest first, without results: get a single check for its result."""
    checks = checks_of(caller.project, kind=kind, file_id=file, job_id=job)
    return page_of(session, checks, query, to_item=_summary)


@router.post("/{check_id}/cancel")
def cancel_check(check_id: ObjectId, caller: ChecksWrite, session: Database) -> CheckObject:
    """Cancel a check; 409 if it has ended. The worker stops at its next progress report."""
    check = get_or_404(session, Check, check_id, project=caller.project)
    cancel(session, check)
    return check_object(check)


@router.get("/{check_id}")
def get_check(check_id: ObjectId, caller: ChecksRead, session: Database) -> CheckObject:
    """Return a check with its result."""
    return check_object(get_or_404(session, Check, check_id, project=caller.project))


def request_json(body: BaseModel) -> Json:
    """Return the request's body as sent, to be stored with the check."""
    return body.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _summary(check: Check) -> CheckObject:
    return check_object(check).model_copy(update={"result": None})


def check_object(check: Check) -> CheckObject:
    failed = check.status == CheckStatus.FAILED
    pending: Literal["queued", "running"] = "queued" if check.progress is None else "running"
    return CheckObject(
        id=check.id,
        kind=check.kind,
        status="failed" if failed else "done" if check.status == CheckStatus.DONE else pending,
        created_at=unix_s(check.created_at),
        finished_at=unix_s(check.finished_at),
        file_id=check.file_id,
        job_id=check.job_id,
        asked=check.request.get(REQUEST_BODY),
        progress=CheckProgress.model_validate(check.progress) if check.progress and check.progress["total"] else None,
        result=None if failed else check.result,
        error=CheckProblem.model_validate(check.result) if failed else None,
    )
