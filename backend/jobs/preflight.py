"""What a worker is told to try before a job exists: the pre-flight's and the teacher preview's requests.

Refused is what a job would be refused for, in the words of a body that holds `grader` and `x_rlsd` itself.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from backend.db.base import Json
from backend.db.files import File
from backend.errors import AppError
from backend.jobs.create import require_file, require_grader_fits, require_model
from backend.jobs.hints import in_file, settle_hint
from backend.jobs.request import Reinforcement
from backend.jobs.resolve import X_RLSD, resolve_settings
from backend.jobs.spec import RlsdSettings
from backend.verifiers.saved import resolve_grader
from backend.verifiers.specs import Spec, spec_json

PREFLIGHT, TEACHER_PREVIEW = "preflight", "teacher_preview"
"""Kinds of checks."""
JOB_PREFIX = X_RLSD.removesuffix("x_rlsd")


def preflight_request(
    session: Session,
    *,
    model: str,
    training_file: str,
    grader: Mapping[str, Any],
    x_rlsd: Mapping[str, Any],
    seed: int,
    rows: int,
    samples: int,
    models: Mapping[str, str],
) -> Json:
    """Everything decided and checked. Raises AppError naming the parameter."""
    file, spec, settings = _decided(
        session, model=model, training_file=training_file, grader=grader, x_rlsd=x_rlsd, models=models
    )
    return {**_request(model, file, spec, settings, seed=seed), "rows": rows, "samples": samples}


def preview_request(
    session: Session,
    *,
    model: str,
    training_file: str,
    grader: Mapping[str, Any] | None,
    x_rlsd: Mapping[str, Any],
    seed: int,
    row: int,
    models: Mapping[str, str],
) -> Json:
    """The same for the teacher preview of one row, counted from 0. It needs a grader where that is to give the hint."""
    file, spec, settings = _decided(
        session, model=model, training_file=training_file, grader=grader, x_rlsd=x_rlsd, models=models
    )
    if row >= file.row_count:
        raise AppError(
            f"There is no row {row} in '{file.filename}': its {file.row_count} rows are counted from 0.",
            code="row_not_found",
            param="row",
        )
    return {**_request(model, file, spec, settings, seed=seed), "row": row}


def _decided(
    session: Session,
    *,
    model: str,
    training_file: str,
    grader: Mapping[str, Any] | None,
    x_rlsd: Mapping[str, Any],
    models: Mapping[str, str],
) -> tuple[File, Spec | None, RlsdSettings]:
    require_model(model, models=models, param="model")
    file = require_file(session, training_file, param="training_file")
    spec = None if grader is None else resolve_grader(session, dict(grader), param="grader")[0]
    if spec is not None:
        require_grader_fits(session, spec, file=file, param="training_file", grader_param="grader")
    with _in_own_words():
        settings = resolve_settings(Reinforcement(grader={}, x_rlsd=dict(x_rlsd)), row_count=file.row_count)
        if settings.teacher_model is not None:
            require_model(settings.teacher_model, models=models, param="x_rlsd.teacher_model")
        settings, _notices = settle_hint(
            settings, said=x_rlsd, first_without=in_file(session, file, spec=spec), filename=file.filename
        )
    return file, spec, settings


def _request(model: str, file: File, spec: Spec | None, settings: RlsdSettings, *, seed: int) -> Json:
    return {
        "model": model,
        "training_file": file.id,
        "grader": None if spec is None else spec_json(spec),
        "settings": settings.model_dump(mode="json", by_alias=True),
        "seed": seed,
    }


@contextmanager
def _in_own_words() -> Iterator[None]:
    """Names parameters as this body does, where a job's body holds them deeper."""
    try:
        yield
    except AppError as error:
        raise AppError(
            error.message.replace(JOB_PREFIX, ""),
            status=error.status,
            code=error.code,
            param=None if error.param is None else error.param.removeprefix(JOB_PREFIX),
        ) from None
