"""Which hint a job's teacher is shown, decided before the job is: one that stands in every row.

A job that says none has its method's and preset's. Where the rows name no answer, because only the verifier knows
where the reference stands (SHAPES, Dataset rows), it is what the rows say to a teacher, or else what the verifier looks
up in them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from backend.datasets.rows.recognise import IMAGE_COLUMNS, RULES
from backend.datasets.rows.rows import REFERENCE_HINTS, NormalRow
from backend.db.files import ROWS_TOGETHER, DatasetRow, File
from backend.errors import AppError
from backend.jobs.methods import METHODS, ROW_HINTS, Hint, MethodName
from backend.jobs.notices import Notice
from backend.jobs.resolve import X_RLSD
from backend.jobs.spec import RlsdSettings
from backend.verifiers import templates
from backend.verifiers.reading import parts, rendered
from backend.verifiers.specs import Python, Single, Spec

FirstWithout = Callable[[Hint], int | None]
"""The line of the first row that has no such hint; None where all have it."""

HINT_NAMES = {
    Hint.ANSWER: "answer",
    Hint.SOLUTION: "solution",
    Hint.TRAJECTORY: "trajectory",
    Hint.PRIVILEGED: "`privileged_context` or `teacher_prompt`",
    Hint.GRADER: "value that the grader looks up",
}
NO_HINT = "The rows name no answer and say nothing to a teacher, and the grader looks nothing up in line"
_REFERENCE = DatasetRow.normal["reference"]
_HINT = DatasetRow.normal["hint"]
_COLUMNS = {
    Hint.ANSWER: _REFERENCE["answer"].as_string(),
    Hint.SOLUTION: _REFERENCE["solution"].as_string(),
    Hint.TRAJECTORY: _REFERENCE["trajectory"].as_string(),
    Hint.PRIVILEGED: case((_HINT["source"].as_string().not_in(REFERENCE_HINTS), _HINT["text"].as_string())),
}
"""Where the normal form keeps each kind of hint."""
_NO_REFERENCE = frozenset({*(rule.question.partition(".")[0] for rule in RULES), *IMAGE_COLUMNS})
"""Columns of a row that hold the question."""


def settle_hint(
    settings: RlsdSettings, *, said: Mapping[str, Any], first_without: FirstWithout, filename: str
) -> tuple[RlsdSettings, tuple[Notice, ...]]:
    """The settings with a hint that every row has, and what their maker has to know of it. `said`: the job's `x_rlsd`.

    Raises AppError naming the parameter that asked for a hint which a row lacks. Where none did, it is trained by GRPO.
    """
    kind = _needed(settings)
    line = None if kind is None else first_without(kind)
    if kind is None or line is None:
        return settings, ()
    if "hint" in said or first_without(Hint.ANSWER) is None:
        raise _missing(kind, line=line, filename=filename, placebo=settings.hint is Hint.PLACEBO)
    if first_without(Hint.PRIVILEGED) is None:
        message = "The rows name no answer, so the teacher is shown what they say to it: the hint 'privileged'."
        return _with(settings, hint=Hint.PRIVILEGED), (Notice("hint_from_rows", "info", message),)
    line = first_without(Hint.GRADER)
    if line is None:
        message = (
            "The rows name no answer, so the teacher is shown what the grader looks up in them: the hint 'grader'."
        )
        return _with(settings, hint=Hint.GRADER), (Notice("hint_from_grader", "info", message),)
    why = f"{NO_HINT} {line} of '{filename}'"
    if "method" in said:
        raise AppError(
            f"{why}, so there is no hint for the method {settings.method}: use the method 'grpo', or name the answer "
            "by `mapping` at upload.",
            code="missing_hint",
            param=f"{X_RLSD}.method",
        )
    message = f"{why}, so there is no hint for a teacher: the job is trained by GRPO, from the scores alone."
    return _with(settings, method=MethodName.GRPO), (Notice("no_teacher", "warn", message),)


def grader_hint(spec: Spec, row: NormalRow) -> str | None:
    """What the grader looks up in the row: the only value, or a line `key: value` each. None where there is nothing."""
    found = {key: text for part in parts(spec) for key, text in _values(part, row)}
    known = {k: text for k, text in found.items() if k.partition(".")[0] not in _NO_REFERENCE and text.strip()}
    if len(known) == 1:
        return next(iter(known.values()))
    return "\n".join(f"{key}: {text}" for key, text in known.items()) or None


def in_file(session: Session, file: File, *, spec: Spec | None) -> FirstWithout:
    """Looks a stored file through. Without a grader, what it would look up is refused by its parameter."""

    def first_without(hint: Hint) -> int | None:
        in_order = select(DatasetRow.line).where(DatasetRow.file_id == file.id).order_by(DatasetRow.number)
        if hint is not Hint.GRADER:
            line: int | None = session.scalar(in_order.where(_COLUMNS[hint].is_(None)).limit(1))
            return line
        if spec is None:
            raise AppError(
                "The teacher's hint is what the grader looks up in the row: say which in `grader`.",
                code="missing_grader",
                param="grader",
            )
        stored = in_order.add_columns(DatasetRow.number, DatasetRow.normal).execution_options(yield_per=ROWS_TOGETHER)
        with session.execute(stored) as found:
            rows = (NormalRow.from_json(normal, number=number, line=line) for line, number, normal in found)
            return next((row.line for row in rows if grader_hint(spec, row) is None), None)

    return first_without


def in_rows(rows: Sequence[NormalRow], *, spec: Spec) -> FirstWithout:
    """The same for rows in memory."""

    def first_without(hint: Hint) -> int | None:
        return next((row.line for row in rows if _hint_of(row, hint, spec=spec) is None), None)

    return first_without


def _hint_of(row: NormalRow, hint: Hint, *, spec: Spec) -> str | None:
    if hint is Hint.GRADER:
        return grader_hint(spec, row)
    return row.privileged if hint is Hint.PRIVILEGED else getattr(row.reference, hint)


def _values(part: Single, row: NormalRow) -> Iterator[tuple[str, str]]:
    """(key, value in words): the whole row for Python, which may look at anything; else what templates name."""
    item = row.item_without_images
    if isinstance(part, Python):
        for key, value in item.items():
            yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return
    for template in part.templates.values():
        for namespace, *path in templates.parse(template).paths:
            key = ".".join(path)
            if namespace == "item" and (text := rendered(f"{{{{item.{key}}}}}", item=item)) is not None:
                yield key, text
    if part.open_references and row.reference.answer is not None:
        yield "answer", row.reference.answer


def _needed(settings: RlsdSettings) -> Hint | None:
    """The hint that every row must have; None where there is no teacher, or its hint is made while training."""
    facts = METHODS[settings.method]
    silent = (facts.fades and settings.lam == 0) or ("alpha" in facts.reads and settings.alpha == 0)
    kind = Hint(settings.placebo_of) if settings.hint is Hint.PLACEBO else settings.hint
    return None if facts.teacher != "hinted" or silent or kind not in ROW_HINTS else kind


def _missing(kind: Hint, *, line: int, filename: str, placebo: bool) -> AppError:
    """Without a hint the teacher would say what the student says."""
    advice = "name it by `mapping` at upload" if kind is Hint.ANSWER else "use 'answer'"
    return AppError(
        f"The hint is {'another' if placebo else 'each'} row's {HINT_NAMES[kind]}, and line {line} of '{filename}' has "
        f"none: {advice}, or add it.",
        code="missing_hint",
        param=f"{X_RLSD}.{'placebo_of' if placebo else 'hint'}",
    )


def _with(settings: RlsdSettings, **changes: object) -> RlsdSettings:
    return settings.model_copy(update=changes)
