"""Usage of chat: requests and tokens by project, day and model."""

from datetime import date

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from backend.db.base import Base
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
