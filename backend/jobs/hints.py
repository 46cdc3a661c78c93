"""Choice of the hint that a job's teacher sees, made before the job is created: every row must have it, and that of
practice.

The default is that of the method and preset. If the rows have no answer, because only the verifier knows where the
reference is, the hint is the rows' text for the teacher or else the values that the verifier looks up in them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from backend.core.hints import HINTS, ROW_HINTS, Hint
from backend.core.methods import METHODS, MethodName, TeacherKind
from backend.core.settings.spec import RlsdSettings
from backend.datasets.rows.recognise import IMAGE_COLUMNS, RULES
from backend.datasets.rows.rows import REFERENCE_HINTS, NormalRow
from backend.db.files import ROWS_TOGETHER, DatasetRow, File
from backend.errors import AppError
from backend.jobs.notices import Notice
from backend.jobs.resolve import X_RLSD
from backend.verifiers import templates
from backend.verifiers.reading import graders_of, render_from_row
from backend.verifiers.specs import Python, Single, Spec

FirstLineWithout = Callable[[Hint], int | None]
"""(kind of hint) -> line of the first row without it; None if all rows have it."""

NO_HINT = "The rows have neither an answer nor a text for the teacher, and the grader looks up no value in line"
_REFERENCE = DatasetRow.normal["reference"]
_HINT = DatasetRow.normal["hint"]
_COLUMNS = {
    Hint.ANSWER: _REFERENCE["answer"].as_string(),
    Hint.SOLUTION: _REFERENCE["solution"].as_string(),
    Hint.TRAJECTORY: _REFERENCE["trajectory"].as_string(),
    Hint.PRIVILEGED: case((_HINT["source"].as_string().not_in(REFERENCE_HINTS), _HINT["text"].as_string())),
}
"""Column of the normal form with each kind of hint."""
_NO_REFERENCE = frozenset({*(rule.question.partition(".")[0] for rule in RULES), *IMAGE_COLUMNS})
"""Columns of a row that contain the question."""


def resolve_hint(
    settings: RlsdSettings, *, given: Mapping[str, Any], first_without: FirstLineWithout, filename: str
) -> tuple[RlsdSettings, tuple[Notice, ...]]:
    """Return the settings with a hint that every row has, and notices about the choice. `given`: the job's `x_rlsd`.

    Raises AppError if `given` requests a hint that a row lacks, or a method or practice that needs one. Without a hint
    the job is otherwise trained by GRPO.
    """
    _require_practice_hint(settings, first_without=first_without, filename=filename)
    kind = _required_hint(settings)
    line = None if kind is None else first_without(kind)
    if kind is None or line is None:
        return settings, ()
    if "hint" in given or first_without(Hint.ANSWER) is None:
        raise _missing(kind, line=line, filename=filename, placebo=settings.hint is Hint.PLACEBO)
    if first_without(Hint.PRIVILEGED) is None:
        message = "The rows have no answer, so the teacher sees their text for the teacher: the hint 'privileged'."
        return _updated(settings, hint=Hint.PRIVILEGED), (Notice("hint_from_rows", "info", message),)
    line = first_without(Hint.GRADER)
    if line is None:
        message = "The rows have no answer, so the teacher sees the values that the grader looks up: the hint 'grader'."
        return _updated(settings, hint=Hint.GRADER), (Notice("hint_from_grader", "info", message),)
    why = f"{NO_HINT} {line} of '{filename}'"
    if "method" in given:
        raise AppError(
            f"{why}, so there is no hint for the method {settings.method}: use the method 'grpo', or set the answer "
            "column with `mapping` at upload.",
            code="missing_hint",
            param=f"{X_RLSD}.method",
        )
    message = f"{why}, so there is no hint for a teacher: the job is trained by GRPO, from the scores only."
    return _updated(settings, method=MethodName.GRPO), (Notice("no_teacher", "warn", message),)


def grader_hint(spec: Spec, row: NormalRow) -> str | None:
    """Return the values that the grader looks up in the row: a single value, or lines `key: value`; None if none."""
    found = {key: text for part in graders_of(spec) for key, text in _values(part, row)}
    known = {k: text for k, text in found.items() if k.partition(".")[0] not in _NO_REFERENCE and text.strip()}
    if len(known) == 1:
        return next(iter(known.values()))
    return "\n".join(f"{key}: {text}" for key, text in known.items()) or None


def first_without_in_file(session: Session, file: File, *, spec: Spec | None) -> FirstLineWithout:
    """Search a stored file. Without a spec, the hint `grader` raises AppError naming `grader`."""

    def first_without(hint: Hint) -> int | None:
        in_order = select(DatasetRow.line).where(DatasetRow.file_id == file.id).order_by(DatasetRow.number)
        if hint is not Hint.GRADER:
            line: int | None = session.scalar(in_order.where(_COLUMNS[hint].is_(None)).limit(1))
            return line
        if spec is None:
            raise AppError(
                "The hint 'grader' shows the teacher the values that the grader looks up in the row: set `grader`.",
                code="missing_grader",
                param="grader",
            )
        stored = in_order.add_columns(DatasetRow.number, DatasetRow.normal).execution_options(yield_per=ROWS_TOGETHER)
        with session.execute(stored) as found:
            rows = (NormalRow.from_json(normal, number=number, line=line) for line, number, normal in found)
            return next((row.line for row in rows if grader_hint(spec, row) is None), None)

    return first_without


def first_without_in_rows(rows: Sequence[NormalRow], *, spec: Spec) -> FirstLineWithout:
    """Search rows in memory."""

    def first_without(hint: Hint) -> int | None:
        return next((row.line for row in rows if _hint_of(row, hint, spec=spec) is None), None)

    return first_without


def _hint_of(row: NormalRow, hint: Hint, *, spec: Spec) -> str | None:
    if hint is Hint.GRADER:
        return grader_hint(spec, row)
    return row.privileged if hint is Hint.PRIVILEGED else getattr(row.reference, hint)


def _values(part: Single, row: NormalRow) -> Iterator[tuple[str, str]]:
    """Yield (key, value as text): the whole row for Python, which may read any column; else what templates name."""
    item = row.item_without_images
    if isinstance(part, Python):
        for key, value in item.items():
            yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return
    for template in part.templates.values():
        for namespace, *path in templates.parse(template).paths:
            key = ".".join(path)
            if namespace == "item" and (text := render_from_row(f"{{{{item.{key}}}}}", item=item)) is not None:
                yield key, text
    if part.implicit_references and row.reference.answer is not None:
        yield "answer", row.reference.answer


def _required_hint(settings: RlsdSettings) -> Hint | None:
    """Return the hint that every row must have; None without a teacher, or if hints come from completions."""
    facts = METHODS[settings.method]
    used = facts.teacher is TeacherKind.HINTED and facts.needs_teacher(settings.lam, alpha=settings.alpha)
    kind = settings.placebo_of if settings.hint is Hint.PLACEBO else settings.hint
    return kind if used and kind in ROW_HINTS else None


def _require_practice_hint(settings: RlsdSettings, *, first_without: FirstLineWithout, filename: str) -> None:
    practice = settings.practice
    if practice is None or (line := first_without(practice.row_hint)) is None:
        return
    placebo = practice.hint is Hint.PLACEBO
    raise AppError(
        f"practice shows the model {'another' if placebo else 'each'} row's {HINTS[practice.row_hint].lack}, but line "
        f"{line} of '{filename}' has none: use another hint that every row has, or add the value to the file.",
        code="missing_hint",
        param=f"{X_RLSD}.practice.{'placebo_of' if placebo else 'hint'}",
    )


def _missing(kind: Hint, *, line: int, filename: str, placebo: bool) -> AppError:
    """Return the error for a missing hint, without which teacher and student would be the same model."""
    advice = "set its column with `mapping` at upload" if kind is Hint.ANSWER else "use the hint 'answer'"
    return AppError(
        f"The hint is {'another' if placebo else 'each'} row's {HINTS[kind].lack}, but line {line} of '{filename}' has "
        f"none: {advice}, or add the value to the file.",
        code="missing_hint",
        param=f"{X_RLSD}.{'placebo_of' if placebo else 'hint'}",
    )


def _updated(settings: RlsdSettings, **changes: object) -> RlsdSettings:
    return settings.model_copy(update=changes)
