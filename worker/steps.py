"""What the stored steps of a job come to."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.training import Step


def trained_tokens(session: Session, job_id: str, *, step: int) -> int:
    """Tokens that the updates up to this step were made from."""
    tokens = func.sum(Step.metrics["update_tokens"].as_float())
    return int(session.scalar(select(tokens).where(Step.job_id == job_id, Step.step <= step)) or 0)
