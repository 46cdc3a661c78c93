"""The check `rescore`: grades a job's stored completions again, newest first, in chunks."""

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from backend.checks import Progress
from backend.core.methods import METHODS
from backend.core.settings.choices import Combine
from backend.core.settings.spec import RlsdSettings
from backend.datasets.rows.rows import NormalRow
from backend.db.base import Json
from backend.db.engine import transaction
from backend.db.files import DatasetRow
from backend.db.jobs import Job
from backend.db.training import Rollout
from backend.errors import AppError, not_found
from backend.jobs.components import component_weights, weights_of
from backend.jobs.rescore import RescoredCompletion, RescoreTally, ScoringRule, select_rollouts
from backend.verifiers.record import ScoreRecord
from backend.verifiers.specs import Spec, parse_spec, spec_hash
from backend.verifiers.templates import Sample
from worker.sandbox.pool import Sandbox

CHUNK = 256
"""Completions held in memory at a time."""


def rescore(request: Json, progress: Progress, *, sandbox: Sandbox) -> Json:
    """Rescore a job: `{job_id, grader, verifier, first, last, limit, notices}` -> RescoreTally's result, what was
    compared, and how the references were read.

    Raises AppError: 404 if the job or a row was deleted, 400 if there is nothing to grade.
    """
    spec = parse_spec(request["grader"])
    with transaction() as session:
        job = session.get(Job, request["job_id"])
        if job is None:
            raise not_found("fine-tuning job", request["job_id"])
        wanted = select_rollouts(job, first=request["first"], last=request["last"])
        total = min(request["limit"], session.scalar(select(func.count()).select_from(wanted.subquery())) or 0)
    tally = RescoreTally(_rule(job, spec))
    for rollouts, rows in _chunks(job, request, total=total):
        records = sandbox.grade(spec, [_sample(rollout, rows[rollout.row]) for rollout in rollouts])
        for rollout, record in zip(rollouts, records, strict=True):
            tally.add(_comparison(rollout, rows[rollout.row], after=record))
        progress(tally.completions, total, "completions")
    if not tally.completions:
        raise AppError("The job no longer has stored completions.", code="no_rollouts")
    compared = {
        "job_id": job.id,
        "steps": {"from": request["first"], "to": request["last"]},
        "verifier": request["verifier"],
        "grader": request["grader"],
        "notices": request["notices"],
        "same_verifier": spec_hash(spec) == spec_hash(parse_spec(job.grader)),
    }
    return compared | tally.result()


def _rule(job: Job, new: Spec) -> ScoringRule:
    """Build the rule of the job; of another verifier without components, the score is the one component."""
    settings = RlsdSettings.model_validate(job.spec)
    normalises = settings.combine is Combine.NORMALISE
    return ScoringRule(
        num_generations=settings.num_generations,
        scale_rewards=settings.scale_rewards,
        success_above=settings.success_above,
        weights_before=component_weights(settings, parse_spec(job.grader)),
        weights_after=weights_of(new) if normalises else {},
        learns=METHODS[settings.method].rewarded,
    )


def _chunks(job: Job, request: Json, *, total: int) -> Iterator[tuple[Sequence[Rollout], dict[int, NormalRow]]]:
    """Yield completions, newest first, with their rows; one short transaction per chunk, because grading is slow."""
    before: tuple[int, int] | None = None
    read = 0
    while read < total:
        statement = select_rollouts(job, first=request["first"], last=request["last"])
        if before is not None:
            statement = statement.where(tuple_(Rollout.step, Rollout.number) < before)
        statement = statement.order_by(Rollout.step.desc(), Rollout.number.desc()).limit(min(CHUNK, total - read))
        with transaction() as session:
            rollouts = session.scalars(statement).all()
            rows = _rows(session, job.training_file, {rollout.row for rollout in rollouts})
        if not rollouts:
            return
        before = (rollouts[-1].step, rollouts[-1].number)
        read += len(rollouts)
        yield rollouts, rows


def _rows(session: Session, file_id: str, numbers: set[int]) -> dict[int, NormalRow]:
    """Load rows by number. Raises AppError (404) if one is not in the file."""
    stored = session.execute(
        select(DatasetRow.number, DatasetRow.line, DatasetRow.normal).where(
            DatasetRow.file_id == file_id, DatasetRow.number.in_(numbers)
        )
    )
    rows = {number: NormalRow.from_json(normal, number=number, line=line) for number, line, normal in stored}
    missing = sorted(numbers - set(rows))
    if missing:
        raise AppError(
            f"Row {missing[0]} is no longer in the training file '{file_id}', so its completions cannot be scored "
            "again.",
            status=404,
            code="row_not_found",
        )
    return rows


def _sample(rollout: Rollout, row: NormalRow) -> Sample:
    """Build the same sample that the verifier gets in training (worker/training/prepare.py)."""
    return Sample(
        output_text=rollout.completion,
        item=row.item_without_images,
        answer=row.reference.right,
        messages=tuple(row.messages),
    )


def _comparison(rollout: Rollout, row: NormalRow, *, after: ScoreRecord) -> RescoredCompletion:
    return RescoredCompletion(
        step=rollout.step,
        number=rollout.number,
        row=rollout.row,
        line=row.line,
        sample=rollout.sample,
        answer=row.reference.answer,
        completion=rollout.completion,
        before=ScoreRecord.from_json(rollout.record),
        after=after,
    )
