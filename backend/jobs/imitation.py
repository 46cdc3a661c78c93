"""What a job imitates: rows that have the text, and the steps of a warm start. Checked before the job is created."""

import math
from collections.abc import Sequence

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from backend.core.beyond_imitation import beyond_imitation
from backend.core.methods import METHODS
from backend.core.settings.imitation import TARGET_WORDS
from backend.core.settings.spec import RlsdSettings
from backend.db.files import DatasetRow
from backend.db.jobs import Job
from backend.db.training import evaluations_of
from backend.errors import AppError
from backend.jobs.resolve import X_RLSD


def imitates(settings: RlsdSettings) -> bool:
    """Report whether the job imitates texts of rows, first or throughout."""
    return settings.warm_start.rows > 0 or METHODS[settings.method].imitates


def has_target(settings: RlsdSettings) -> ColumnElement[bool]:
    """Return the condition that a stored row has the text to imitate."""
    reference = DatasetRow.normal["reference"]
    found: ColumnElement[bool] = reference[settings.warm_start.target.value].as_string().is_not(None)
    return found


def warm_steps(settings: RlsdSettings, *, rows: int) -> int:
    """Return the steps of the warm start if `rows` of the training rows can be imitated; 0 without one."""
    warm = settings.warm_start
    return warm.epochs * math.ceil(min(warm.rows, rows) / settings.batch_size)


def require_rows(settings: RlsdSettings, *, with_text: Sequence[bool], filename: str) -> int:
    """Return how many training rows have the text to imitate. Raises AppError if it is none. 0 without imitation."""
    if not imitates(settings):
        return 0
    if any(with_text):
        return sum(with_text)
    word = TARGET_WORDS[settings.warm_start.target]
    what = "The warm start" if settings.warm_start.rows > 0 else f"The method {settings.method}"
    raise AppError(
        f"{what} imitates the {word} of rows, but 0 of the {len(with_text):,} training rows of '{filename}' have one: "
        "set its column with `mapping` at upload, choose another `warm_start.target`, or train without imitation.",
        code="nothing_to_imitate",
        param=f"{X_RLSD}.warm_start.target",
    )


def beyond_imitation_of(session: Session, job: Job) -> str | None:
    """Return the verdict on what training added to the job's warm start; None without one, or before its end."""
    if job.warm_steps == 0:
        return None
    evaluations = [
        evaluation.result | {"phase": evaluation.phase, "step": evaluation.step}
        for evaluation in evaluations_of(session, job)
    ]
    return beyond_imitation(evaluations, method=job.spec["method"])
