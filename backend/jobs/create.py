"""Creation of a job from a request. Every error that can be detected now is reported, naming the parameter."""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from backend.core.control import ControlSignal
from backend.core.settings.limits import MAX_SEED
from backend.core.settings.spec import RlsdSettings
from backend.datasets.reading.store import require_processed
from backend.db.base import utc_now
from backend.db.files import DatasetRow, File, lock_file
from backend.db.jobs import Job
from backend.db.verifiers import Verifier
from backend.errors import AppError
from backend.ids import new_id
from backend.jobs import events
from backend.jobs.components import component_weights
from backend.jobs.context import require_fits
from backend.jobs.control import enqueue
from backend.jobs.examples import without_examples
from backend.jobs.held_out import require_halves, shared_notices, split_held_out
from backend.jobs.hints import first_without_in_file, resolve_hint
from backend.jobs.imitation import has_target, imitates, require_rows, warm_steps
from backend.jobs.lifecycle import JobState
from backend.jobs.notices import Notice, grader_notices, number_notices, setting_notices
from backend.jobs.request import JobRequest, Reinforcement
from backend.jobs.resolve import X_RLSD, resolve_settings
from backend.jobs.targets import require_targets
from backend.jobs.tests_before import record_tests
from backend.quotas import require_job
from backend.verifiers import templates
from backend.verifiers.reading import with_decimal_marks
from backend.verifiers.saved import resolve_grader
from backend.verifiers.specs import Spec, spec_json

GRADER = "method.reinforcement.grader"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
MAX_ROWS_READ = 20_000
"""Number of rows from which the decimal mark of references is found."""


@dataclass(frozen=True, slots=True)
class CheckedJob:
    """A validated job request with its files, verifier and settings."""

    training: File
    validation: File | None
    held_out_rows: int
    """Number of questions in an evaluation."""
    grader: Spec
    verifier: Verifier | None
    seed: int
    settings: RlsdSettings
    warm_steps: int
    """Steps of the warm start, unless rows turn out to be too long."""
    notices: tuple[Notice, ...]


def create_job(session: Session, request: JobRequest, *, project: str, models: Mapping[str, str]) -> Job:
    """Store a job of the project, record its events and queue it after the commit. Raises AppError with the `param`."""
    require_job(session, project=project)
    checked = checked_job(session, request, project=project, models=models)
    job = Job(
        id=new_id("ftjob"),
        state=JobState.QUEUED,
        control_signal=ControlSignal.RUN,
        model=request.model,
        training_file=checked.training.id,
        validation_file=None if checked.validation is None else checked.validation.id,
        seed=checked.seed,
        suffix=request.suffix,
        job_metadata=request.metadata,
        request=_request_json(request, verifier=checked.verifier),
        spec=checked.settings.model_dump(mode="json", by_alias=True),
        grader=spec_json(checked.grader),
        created_at=utc_now(),
        max_steps=checked.warm_steps + checked.settings.max_steps,
        warm_steps=checked.warm_steps,
        project_id=project,
    )
    session.add(job)
    session.flush()
    events.record(session, job.id, code="job.created", message="The job was created and is waiting for a worker.")
    record_tests(session, job, file=checked.training)
    for notice in checked.notices:
        events.record(session, job.id, code=notice.code, message=notice.message, level=notice.level)
    enqueue(session, job)
    return job


def checked_job(session: Session, request: JobRequest, *, project: str, models: Mapping[str, str]) -> CheckedJob:
    """Validate a request without creating a job. Raises AppError naming the parameter."""
    require_model(request.model, models=models, param="model")
    training = require_file(session, request.training_file, project=project, param="training_file")
    validation, shared, shared_told = None, 0, tuple[Notice, ...]()
    if request.validation_file is not None:
        if request.validation_file == request.training_file:
            raise AppError(
                "validation_file is the same file as training_file: choose a file without training rows, or leave "
                "validation_file out to hold out part of the training file.",
                code="same_file",
                param="validation_file",
            )
        validation = require_file(session, request.validation_file, project=project, param="validation_file")
        shared = _count_shared(session, training, validation)
        shared_told = shared_notices(shared, rows=validation.row_count, filename=validation.filename)
    reinforcement = request.method.reinforcement
    spec, verifier = resolve_grader(session, reinforcement.grader, project=project, param=GRADER)
    seed = secrets.randbelow(MAX_SEED) if request.seed is None else request.seed
    settings, held_out = _settings(session, reinforcement, training=training, validation=validation, seed=seed)
    if validation is not None:
        held_out = min(settings.eval_rows, validation.row_count - shared)
    imitated = _rows_to_imitate(session, settings, training=training, validation=validation, seed=seed)
    if settings.teacher_model is not None:
        require_model(settings.teacher_model, models=models, param=f"{X_RLSD}.teacher_model")
    component_weights(settings, spec)
    require_fits(
        request.model,
        models=models,
        max_completion_tokens=settings.max_completion_tokens,
        param=f"{X_RLSD}.max_completion_tokens",
    )
    require_targets(
        request.model, models=models, targets=settings.lora.target_modules, param=f"{X_RLSD}.lora.target_modules"
    )
    spec, column_notices = fit_grader(session, spec, file=training, param="training_file", grader_param=GRADER)
    if validation is not None:
        fit_grader(session, spec, file=validation, param="validation_file", grader_param=GRADER)
    settings, notices = resolve_hint(
        settings,
        given=reinforcement.x_rlsd,
        first_without=first_without_in_file(session, training, spec=spec),
        filename=training.filename,
    )
    checked = CheckedJob(
        training=training,
        validation=validation,
        held_out_rows=held_out,
        grader=spec,
        verifier=verifier,
        seed=seed,
        settings=settings,
        warm_steps=warm_steps(settings, rows=imitated),
        notices=(
            *shared_told,
            *notices,
            *setting_notices(settings, given=reinforcement.x_rlsd),
            *grader_notices(spec),
            *column_notices,
        ),
    )
    require_halves(settings, questions=held_out)
    return checked


def require_model(model: str, *, models: Mapping[str, str], param: str) -> None:
    """Raise AppError unless `model` is a listed name or a valid hub id. Server folders are used only if listed."""
    if model in models:
        return
    known = ", ".join(models)
    if model.startswith("ft:"):
        raise AppError(
            f"'{model}' is a trained adapter, and training cannot start from an adapter: use a base model ({known}, "
            "or a hub id).",
            code="model_not_trainable",
            param=param,
        )
    suggestion = next((name for name in models if name.casefold() == model.casefold()), None)
    if suggestion is not None:
        message = f"There is no model '{model}'; did you mean '{suggestion}'?"
        raise AppError(message, code="model_not_found", param=param)
    if ".." in model or HUB_ID.fullmatch(model) is None:
        raise AppError(
            f"'{model:.100}' is neither a model of this server ({known}) nor a hub id such as 'organisation/name'.",
            code="model_not_found",
            param=param,
        )


def require_file(session: Session, file_id: str, *, project: str, param: str) -> File:
    """Return the project's file, locked against deletion until the transaction ends. Raises AppError with `param`."""
    file = lock_file(session, file_id, project=project)
    if file is None:
        raise AppError(f"No such file: '{file_id:.100}'.", code="file_not_found", param=param)
    return require_processed(file, param=param)


def _count_shared(session: Session, training: File, validation: File) -> int:
    """Count the rows of the validation file that are also in the training file."""
    other = aliased(DatasetRow)
    in_training = exists().where(other.file_id == training.id, other.row_hash == DatasetRow.row_hash)
    return (
        session.scalar(
            select(func.count()).select_from(DatasetRow).where(DatasetRow.file_id == validation.id, in_training)
        )
        or 0
    )


def _settings(
    session: Session, request: Reinforcement, *, training: File, validation: File | None, seed: int
) -> tuple[RlsdSettings, int]:
    """Resolve all settings and count the training rows that are held out.

    If epochs are requested, the number of steps follows from the rows trained on.
    """
    settings = resolve_settings(request, row_count=training.row_count)
    if validation is not None and not settings.example_rows:
        return settings, 0
    stored = session.execute(
        select(DatasetRow.row_hash).where(DatasetRow.file_id == training.id).order_by(DatasetRow.number)
    ).all()
    rows = without_examples(stored, settings.example_rows)
    if validation is not None:
        return resolve_settings(request, row_count=len(rows)), 0
    try:
        train, held_out = split_held_out(rows, share=settings.held_out_share, seed=seed, limit=settings.eval_rows)
    except ValueError as error:
        raise AppError(f"training_file: {error}.", code="too_few_rows", param="training_file") from None
    return resolve_settings(request, row_count=len(train)), len(held_out)


def _rows_to_imitate(
    session: Session, settings: RlsdSettings, *, training: File, validation: File | None, seed: int
) -> int:
    """Count the training rows with the text that the job imitates; 0 without imitation. Raises AppError if none has."""
    if not imitates(settings):
        return 0
    shown = has_target(settings).label("shown")
    stored = session.execute(
        select(DatasetRow.row_hash, shown).where(DatasetRow.file_id == training.id).order_by(DatasetRow.number)
    ).all()
    rows: Sequence[Any] = without_examples(stored, settings.example_rows)
    if validation is None:
        rows, _held_out = split_held_out(rows, share=settings.held_out_share, seed=seed, limit=settings.eval_rows)
    return require_rows(settings, with_text=[row.shown for row in rows], filename=training.filename)


def fit_grader(
    session: Session, spec: Spec, *, file: File, param: str, grader_param: str
) -> tuple[Spec, tuple[Notice, ...]]:
    """Return the grader with the decimal marks it leaves open, found from all references of the file.

    Check that every `{{item...}}` of the grader has a value in the first row, and that all rows have an answer if the
    grader compares with it. Raises AppError(400). `param` is the request parameter of the file, `grader_param` that of
    the grader.
    """
    first = session.get_one(DatasetRow, (file.id, 0))
    line, normal = first.line, first.normal
    for field, template in spec.templates.items():
        for path in templates.parse(template).paths:
            if path[0] == "item":
                try:
                    templates.render("{{" + ".".join(path) + "}}", item=normal["item"], sample={"output_text": ""})
                except AppError as error:
                    raise AppError(
                        f"{error.message.rstrip('.')}, in line {line} of '{file.filename}' ({param}).",
                        code=error.code,
                        param=f"{grader_param}.{field}",
                    ) from None
    for field in spec.implicit_references:
        bare_line = _first_line_without(session, file, field="answer")
        if bare_line is not None:
            raise AppError(
                f"The grader compares with the row's answer, but line {bare_line} of '{file.filename}' ({param}) has "
                "none: set `reference` in the grader.",
                code="missing_reference",
                param=f"{grader_param}.{field}",
            )
    reads_items = any(field.rpartition(".")[2] == "reference" for field in spec.templates)
    fitted, columns = with_decimal_marks(spec, _items_and_answers(session, file, reads_items=reads_items))
    return fitted, number_notices(columns.values())


def _items_and_answers(
    session: Session, file: File, *, reads_items: bool
) -> Iterator[tuple[Mapping[str, object], str | None]]:
    """Yield (item, answer) of the first rows. Items may be megabytes each: empty unless `reads_items`."""
    answer = DatasetRow.normal["reference"]["answer"].as_string()
    columns = [answer, DatasetRow.normal["item"]] if reads_items else [answer]
    rows = select(*columns).where(DatasetRow.file_id == file.id).order_by(DatasetRow.number).limit(MAX_ROWS_READ)
    for answer_of_row, *item in session.execute(rows.execution_options(yield_per=20)):
        yield (item[0] if item else {}), answer_of_row


def _first_line_without(session: Session, file: File, *, field: str) -> int | None:
    """Return the line of the first row whose reference lacks the field; None if all have it."""
    if file.report[f"with_{field}"] == file.row_count:
        return None
    line: int | None = session.scalar(
        select(DatasetRow.line)
        .where(DatasetRow.file_id == file.id, DatasetRow.normal["reference"][field].as_string().is_(None))
        .order_by(DatasetRow.number)
        .limit(1)
    )
    return line


def _request_json(request: JobRequest, *, verifier: Verifier | None) -> dict[str, object]:
    """Return the body as received, with the name and current version of a saved verifier."""
    body = request.model_dump(mode="json", exclude_unset=True)
    if verifier is not None:
        saved = {"type": "saved", "id": verifier.id, "version": verifier.version, "name": verifier.name}
        body["method"]["reinforcement"]["grader"] = saved
    return body
