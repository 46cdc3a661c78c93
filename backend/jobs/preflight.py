"""Requests for checks before a job exists: the pre-flight and the teacher preview.

They are validated like a job; errors name the parameters of their own bodies, which have `grader` and `x_rlsd` at top
level.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from backend.core.settings.spec import RlsdSettings
from backend.db.base import Json
from backend.db.files import File
from backend.errors import AppError
from backend.jobs.components import component_weights
from backend.jobs.create import fit_grader, require_file, require_model
from backend.jobs.hints import first_without_in_file, resolve_hint
from backend.jobs.notices import Notice, grader_notices, setting_notices
from backend.jobs.request import Reinforcement
from backend.jobs.resolve import X_RLSD, resolve_settings
from backend.jobs.targets import require_targets
from backend.verifiers.saved import resolve_grader
from backend.verifiers.specs import Spec, spec_json

JOB_PREFIX = X_RLSD.removesuffix("x_rlsd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a check tries: the part of a job that both have, as requested."""

    project: str
    model: str
    training_file: str
    grader: Mapping[str, Any] | None
    x_rlsd: Mapping[str, Any]
    seed: int


def preflight_request(
    session: Session,
    trial: Trial,
    *,
    rows: int,
    samples: int,
    instructions: Sequence[str] | None,
    models: Mapping[str, str],
) -> Json:
    """Validate a pre-flight and resolve its settings. Raises AppError naming the parameter.

    `instructions`: two to compare; the first is that of the settings.
    """
    if instructions is not None:
        if trial.x_rlsd.get("instruction"):
            raise AppError(
                "instructions and x_rlsd.instruction exclude each other: leave out one of them.", param="instructions"
            )
        trial = replace(trial, x_rlsd={**trial.x_rlsd, "instruction": instructions[0]})
    file, spec, settings, notices = _resolved(session, trial, models=models)
    if instructions is not None and settings.warm_start.rows > 0:
        raise AppError(
            "instructions compares two prompts, but a warm start would imitate under the first one only: leave out "
            "warm_start, and test it afterwards.",
            param="instructions",
        )
    request = _request(trial, file, spec, settings)
    second = {} if instructions is None else {"second_instruction": instructions[1].strip()}
    return {**request, **second, "rows": rows, "samples": samples, "notices": [asdict(notice) for notice in notices]}


def preview_request(session: Session, trial: Trial, *, row: int, models: Mapping[str, str]) -> Json:
    """Validate a teacher preview of one row, counted from 0. The hint `grader` needs a grader."""
    file, spec, settings, _notices = _resolved(session, trial, models=models)
    if row >= file.row_count:
        raise AppError(
            f"There is no row {row} in '{file.filename}': it has {file.row_count} rows, counted from 0.",
            code="row_not_found",
            param="row",
        )
    return {**_request(trial, file, spec, settings), "row": row}


def _resolved(
    session: Session, trial: Trial, *, models: Mapping[str, str]
) -> tuple[File, Spec | None, RlsdSettings, tuple[Notice, ...]]:
    require_model(trial.model, models=models, param="model")
    file = require_file(session, trial.training_file, project=trial.project, param="training_file")
    spec = None
    if trial.grader is not None:
        spec = resolve_grader(session, dict(trial.grader), project=trial.project, param="grader")[0]
    notices: tuple[Notice, ...] = ()
    if spec is not None:
        spec, notices = fit_grader(session, spec, file=file, param="training_file", grader_param="grader")
        notices = (*notices, *grader_notices(spec))
    with _shortened_params():
        settings = resolve_settings(Reinforcement(grader={}, x_rlsd=dict(trial.x_rlsd)), row_count=file.row_count)
        if settings.teacher_model is not None:
            require_model(settings.teacher_model, models=models, param="x_rlsd.teacher_model")
        if spec is not None:
            component_weights(settings, spec)
        require_targets(
            trial.model, models=models, targets=settings.lora.target_modules, param="x_rlsd.lora.target_modules"
        )
        settings, hint_notices = resolve_hint(
            settings,
            given=trial.x_rlsd,
            first_without=first_without_in_file(session, file, spec=spec),
            filename=file.filename,
        )
    return file, spec, settings, (*hint_notices, *setting_notices(settings, given=trial.x_rlsd), *notices)


def _request(trial: Trial, file: File, spec: Spec | None, settings: RlsdSettings) -> Json:
    return {
        "model": trial.model,
        "training_file": file.id,
        "grader": None if spec is None else spec_json(spec),
        "settings": settings.model_dump(mode="json", by_alias=True),
        "seed": trial.seed,
    }


@contextmanager
def _shortened_params() -> Iterator[None]:
    """Name parameters as in this body, without the path that they have in a job's body."""
    try:
        yield
    except AppError as error:
        raise AppError(
            error.message.replace(JOB_PREFIX, ""),
            status=error.status,
            code=error.code,
            param=None if error.param is None else error.param.removeprefix(JOB_PREFIX),
        ) from None
