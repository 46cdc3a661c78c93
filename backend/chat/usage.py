"""Chat usage by day and model."""

from datetime import date

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.chat import ChatUsage


def record_usage(session: Session, *, project: str, model: str, prompt_tokens: int, completion_tokens: int) -> None:
    """Add one request to today's row, which all servers share."""
    statement = insert(ChatUsage).values(
        project_id=project,
        day=utc_now().date(),
        model=model,
        requests=1,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[ChatUsage.project_id, ChatUsage.day, ChatUsage.model],
            set_={
                "requests": ChatUsage.requests + 1,
                "prompt_tokens": ChatUsage.prompt_tokens + prompt_tokens,
                "completion_tokens": ChatUsage.completion_tokens + completion_tokens,
            },
        )
    )


def usage_since(session: Session, day: date, *, project: str) -> list[ChatUsage]:
    """Return the usage of the project, the newest day first, then by model."""
    used = select(ChatUsage).where(ChatUsage.project_id == project, ChatUsage.day >= day)
    return list(session.scalars(used.order_by(ChatUsage.day.desc(), ChatUsage.model)))
