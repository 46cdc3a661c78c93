"""From a request to a queued job: everything that can be known to fail is refused now, naming the parameter."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from backend.datasets.reading.store import require_processed
from backend.db.base import utc_now
from backend.db.files import DatasetRow, File
from backend.db.jobs import Job
from backend.db.verifiers import Verifier
from backend.errors import AppError
from backend.ids import new_id
from backend.jobs import events
from backend.jobs.context import require_fits
from backend.jobs.control import enqueue
from backend.jobs.held_out import split_held_out
from backend.jobs.hints import in_file, settle_hint
from backend.jobs.lifecycle import ControlSignal, JobState
from backend.jobs.notices import Notice, of_grader
from backend.jobs.request import JobRequest, Reinforcement
from backend.jobs.resolve import X_RLSD, resolve_settings
from backend.jobs.spec import RlsdSettings
from backend.quotas import require_job
from backend.verifiers import templates
from backend.verifiers.saved import resolve_grader
from backend.verifiers.specs import Spec, spec_json

GRADER = "method.reinforcement.grader"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
LEAST_HELD_OUT = 2
MAX_SEED = 2**31


@dataclass(frozen=True, slots=True)
class CheckedJob:
    """What a request for a job comes to, once all that can be known to fail has been refused."""

    training: File
    validation: File | None
    grader: Spec
    verifier: Verifier | None
    seed: int
    settings: RlsdSettings
    notices: tuple[Notice, ...]

    @property
    def held_out_rows(self) -> int:
        """Questions of an evaluation."""
        rows = self.training.row_count * self.settings.held_out_share
        return min(self.settings.eval_rows, round(rows) if self.validation is None else self.validation.row_count)


def create_job(session: Session, request: JobRequest, *, models: Mapping[str, str]) -> Job:
    """Store the job, tell of it, and nudge a worker after the commit. Raises AppError naming the parameter."""
    require_job(session)
    checked = checked_job(session, request, models=models)
    job = Job(
        id=new_id("ftjob"),
        state=JobState.QUEUED,
        wish=ControlSignal.RUN,
        model=request.model,
        training_file=checked.training.id,
        validation_file=None if checked.validation is None else checked.validation.id,
        seed=checked.seed,
        suffix=request.suffix,
        job_metadata=request.metadata,
        request=_as_asked(request, verifier=checked.verifier),
        spec=checked.settings.model_dump(mode="json", by_alias=True),
        grader=spec_json(checked.grader),
        created_at=utc_now(),
        max_steps=checked.settings.max_steps,
    )
    session.add(job)
    session.flush()
    events.record(session, job.id, code="job.created", message="The job was created and waits for a worker.")
    for notice in checked.notices:
        events.record(session, job.id, code=notice.code, message=notice.message, level=notice.level)
    enqueue(session, job)
    return job


def checked_job(session: Session, request: JobRequest, *, models: Mapping[str, str]) -> CheckedJob:
    """The same checks without a job. Raises AppError naming the parameter."""
    require_model(request.model, models=models, param="model")
    training = require_file(session, request.training_file, param="training_file")
    validation = None
    if request.validation_file is not None:
        if request.validation_file == request.training_file:
            raise AppError(
                "validation_file is the training file: a model is not measured on what it was trained on.",
                code="same_file",
                param="validation_file",
            )
        validation = require_file(session, request.validation_file, param="validation_file")
        _require_disjoint(session, training, validation)
    reinforcement = request.method.reinforcement
    spec, verifier = resolve_grader(session, reinforcement.grader, param=GRADER)
    seed = secrets.randbelow(MAX_SEED) if request.seed is None else request.seed
    settings = _settings(session, reinforcement, training=training, validation=validation, seed=seed)
    if settings.teacher_model is not None:
        require_model(settings.teacher_model, models=models, param=f"{X_RLSD}.teacher_model")
    require_fits(
        request.model,
        models=models,
        max_completion_tokens=settings.max_completion_tokens,
        param=f"{X_RLSD}.max_completion_tokens",
    )
    for file, param in ((training, "training_file"), (validation, "validation_file")):
        if file is not None:
            require_grader_fits(session, spec, file=file, param=param, grader_param=GRADER)
    settings, notices = settle_hint(
        settings,
        said=reinforcement.x_rlsd,
        first_without=in_file(session, training, spec=spec),
        filename=training.filename,
    )
    return CheckedJob(training, validation, spec, verifier, seed, settings, (*notices, *of_grader(spec)))


def require_model(model: str, *, models: Mapping[str, str], param: str) -> None:
    """A listed name, or what can be an id on the model hub. Folders of the server are only used where listed."""
    if model in models:
        return
    known = ", ".join(models)
    if model.startswith("ft:"):
        raise AppError(
            f"'{model}' is an adapter trained here, and training on from one is not supported: name a base model "
            f"({known}, or a hub id).",
            code="model_not_trainable",
            param=param,
        )
    meant = next((name for name in models if name.casefold() == model.casefold()), None)
    if meant is not None:
        raise AppError(f"There is no model '{model}'; did you mean '{meant}'?", code="model_not_found", param=param)
    if ".." in model or HUB_ID.fullmatch(model) is None:
        raise AppError(
            f"'{model:.100}' is no model of this server ({known}) and no hub id such as 'organisation/name'.",
            code="model_not_found",
            param=param,
        )


def require_file(session: Session, file_id: str, *, param: str) -> File:
    """The file, kept from being deleted until what needs it is stored. Raises AppError naming the parameter."""
    file = session.scalar(select(File).where(File.id == file_id).with_for_update(read=True, key_share=True))
    if file is None:
        raise AppError(f"No such file: '{file_id:.100}'.", code="file_not_found", param=param)
    return require_processed(file, param=param)


def _require_disjoint(session: Session, training: File, validation: File) -> None:
    """No row on both sides: a model is not measured on what it was trained on."""
    other = aliased(DatasetRow)
    shared = session.scalar(
        select(func.count(func.distinct(DatasetRow.row_hash)))
        .join(other, other.row_hash == DatasetRow.row_hash)
        .where(DatasetRow.file_id == validation.id, other.file_id == training.id)
    )
    if shared:
        raise AppError(
            f"{shared} rows of the validation file '{validation.filename}' are also in the training file: a model is "
            "not measured on what it was trained on. Take them out of one of the two.",
            code="rows_shared",
            param="validation_file",
        )


def _settings(
    session: Session, request: Reinforcement, *, training: File, validation: File | None, seed: int
) -> RlsdSettings:
    """All settings; where passes over the data are asked for, steps follow from the rows that are trained on."""
    settings = resolve_settings(request, row_count=training.row_count)
    if validation is not None:
        if validation.row_count < LEAST_HELD_OUT:
            raise AppError(
                f"The validation file has {validation.row_count} row: at least {LEAST_HELD_OUT} are needed.",
                code="too_few_rows",
                param="validation_file",
            )
        return settings
    rows = session.execute(
        select(DatasetRow.row_hash).where(DatasetRow.file_id == training.id).order_by(DatasetRow.number)
    ).all()
    try:
        train, _held_out = split_held_out(rows, share=settings.held_out_share, seed=seed, limit=settings.eval_rows)
    except ValueError as error:
        raise AppError(f"training_file: {error}.", code="too_few_rows", param="training_file") from None
    return resolve_settings(request, row_count=len(train))


def require_grader_fits(session: Session, spec: Spec, *, file: File, param: str, grader_param: str) -> None:
    """Every `{{item...}}` of the grader has a value in the first row, and a compared answer in all.

    Raises AppError(400): `param` says what the file is, `grader_param` where the grader stands in the request.
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
    for field in spec.open_references:
        bare_line = _first_line_without(session, file, field="answer")
        if bare_line is not None:
            raise AppError(
                f"The grader compares with the row's answer, and line {bare_line} of '{file.filename}' ({param}) has "
                "none that is known: give `reference`.",
                code="missing_reference",
                param=f"{grader_param}.{field}",
            )


def _first_line_without(session: Session, file: File, *, field: str) -> int | None:
    """The line of the first row whose reference lacks the field; None where all have it."""
    if file.report[f"with_{field}"] == file.row_count:
        return None
    line: int | None = session.scalar(
        select(DatasetRow.line)
        .where(DatasetRow.file_id == file.id, DatasetRow.normal["reference"][field].as_string().is_(None))
        .order_by(DatasetRow.number)
        .limit(1)
    )
    return line


def _as_asked(request: JobRequest, *, verifier: Verifier | None) -> dict[str, object]:
    """The body as it came; a saved verifier with name and version as they were then."""
    body = request.model_dump(mode="json", exclude_unset=True)
    if verifier is not None:
        saved = {"type": "saved", "id": verifier.id, "version": verifier.version, "name": verifier.name}
        body["method"]["reinforcement"]["grader"] = saved
    return body
