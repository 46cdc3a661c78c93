"""Usage of chat: requests and tokens by project, day and model."""

from datetime import date

from sqlalchemy import ForeignKey, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.db.base import Base, utc_now
from backend.db.projects import ProjectOwned


class ChatUsage(ProjectOwned, Base):
    """Usage of a model on a day. `day` is a UTC date, `model` the name in the request."""

    __tablename__ = "chat_usage"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]


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
