"""`/v1/usage`: chat requests and tokens of the caller's project, by day and model."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from backend.api.http.dependencies import Database
from backend.api.http.paging import ListItem, Page, page
from backend.api.http.rights import ProjectRead
from backend.db.base import utc_now
from backend.db.chat import usage_since

router = APIRouter(prefix="/usage", tags=["server"])


class UsageObject(ListItem):
    """The usage of one model on one day (UTC)."""

    object: Literal["usage"] = "usage"
    day: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int


@router.get("")
def list_usage(
    caller: ProjectRead,
    session: Database,
    days: Annotated[int, Query(ge=1, le=366, description="Number of days up to and including today.")] = 30,
) -> Page[UsageObject]:
    """List chat requests and tokens, newest day first. A request is counted when its response has ended."""
    since = utc_now().date() - timedelta(days=days - 1)
    return page(
        [
            UsageObject(
                id=f"{row.day}:{row.model}",
                day=row.day.isoformat(),
                model=row.model,
                requests=row.requests,
                prompt_tokens=row.prompt_tokens,
                completion_tokens=row.completion_tokens,
            )
            for row in usage_since(session, since, project=caller.project)
        ]
    )
