"""Self-check of a verifier before training: right answers must get full marks, empty text and nonsense must not. Pure.

Each row is checked separately: first its right answer in every form (probes.py), then wrong texts in the form in which
the right answer scored best. The first rows are graded again in reverse order: equal texts must get equal scores.
Then references of every form are read by the graders that read a value (selfcheck_readings.py), and slightly altered
right answers are graded in one call (selfcheck_altered.py). selfcheck_findings.py draws the conclusions;
`docs/checks.md` explains each finding.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backend.core.verdict import truncated, verdict
from backend.verifiers.probes import FORMS, Probe, ProbeRow, probe_labels, right_probes, wrong_probes
from backend.verifiers.reading import is_judged
from backend.verifiers.record import ScoreRecord, ScoreStatus
from backend.verifiers.selfcheck_altered import (
    AlteredResult,
    altered_findings,
    altered_json,
    altered_results,
    altered_rows,
)
from backend.verifiers.selfcheck_columns import column_findings
from backend.verifiers.selfcheck_findings import Conclusion, Marks, Outcome, RowResult, conclude
from backend.verifiers.selfcheck_readings import Read, read_references, reading_findings, readings_json
from backend.verifiers.selfcheck_working import working_findings
from backend.verifiers.specs import Spec
from backend.verifiers.templates import Sample

__all__ = ["ProbeRow", "self_check", "spread"]

Grade = Callable[[Sequence[Sample]], Sequence[ScoreRecord]]
"""A sandbox bound to the verifier; returns one record per sample, in order."""

BUDGET_S = 60.0
"""Seconds after which no further row is started, and no more references are read."""
REPEATED_ROWS = 2
MAX_ALTERED_TEXTS = 64
"""Calls for altered answers, the right ones among them included."""


def self_check(
    rows: Sequence[ProbeRow],
    *,
    spec: Spec,
    grade: Grade,
    read: Read,
    more_rows: Sequence[ProbeRow] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    budget_s: float = BUDGET_S,
) -> dict[str, Any]:
    """Return the verdict on a verifier (backend.core.verdict), with a matrix of rows and probes.

    `more_rows`: further rows, whose references are only read and altered. `progress` receives (rows done, total).
    Exceptions of `grade` and `read` propagate: they mean that the sandbox failed.
    """
    started = time.monotonic()
    results = _check_rows(rows, spec=spec, grade=grade, progress=progress, until=started + budget_s)
    found = conclude(results, spec=spec, requested=len(rows))
    sampled = list({row.number: row for row in (*rows, *more_rows)}.values())
    references = read_references(sampled, spec=spec, read=read, until=started + budget_s)
    left_s = budget_s - (time.monotonic() - started)
    altered = _check_altered(sampled, results, found, spec=spec, grade=grade, left_s=left_s)
    findings = [*found.findings, *working_findings(results, marks=found.marks), *column_findings(sampled, spec=spec)]
    findings += reading_findings(references)
    findings += altered_findings(altered, spec=spec, rows=sampled)
    where = "the row" if len(results) == 1 else f"all {len(results)} rows"
    good = f"Right answers get full marks on {where} checked; empty text, noise and other answers do not."
    columns = _columns(results, spec=spec)
    details = {
        "rows_checked": len(results),
        "rows_asked": len(rows),
        "calls": sum(len(result.outcomes) for result in results),
        "full_marks": found.marks.full,
        **found.figures,
        "probes": columns,
        "rows": [_matrix_row(result, columns=columns, marks=found.marks) for result in results],
        "readings": readings_json(references),
        "altered": altered_json(altered),
    }
    return verdict(findings, good=good, details=details)


def spread(count: int, *, over: int) -> list[int]:
    """Return at most `count` evenly spaced numbers of 0 … `over` - 1."""
    size = min(count, over)
    return [place * over // size for place in range(size)]


def _check_rows(
    rows: Sequence[ProbeRow], *, spec: Spec, grade: Grade, progress: Callable[[int, int], None], until: float
) -> list[RowResult]:
    """Check row after row, until the time is over or every call on a row timed out."""
    results: list[RowResult] = []
    for row in rows:
        if results and time.monotonic() > until:
            break
        results.append(_check_row(row, rows=rows, spec=spec, grade=grade, repeat=len(results) < _repeated(spec)))
        progress(len(results), len(rows))
        if all(outcome.record.status is ScoreStatus.TIMEOUT for outcome in results[-1].outcomes):
            break
    return results


def _check_altered(
    rows: Sequence[ProbeRow],
    results: Sequence[RowResult],
    found: Conclusion,
    *,
    spec: Spec,
    grade: Grade,
    left_s: float,
) -> list[AlteredResult]:
    """Grade altered answers in one call, as many as the time that is left allows; none if no right answer is full."""
    form = _usual_form(results, marks=found.marks)
    if form is None:
        return []
    calls = left_s * 1000 / max(found.figures["median_ms"] or 0.0, 1.0)
    chosen = altered_rows(rows, spec=spec, form=form, most_texts=int(min(MAX_ALTERED_TEXTS, calls)))
    if not chosen:
        return []
    records = grade([_sample(altered.row, Probe(form, text)) for altered in chosen for text in altered.texts])
    return altered_results(chosen, records, marks=found.marks, spec=spec)


def _usual_form(results: Sequence[RowResult], *, marks: Marks) -> str | None:
    """Return the form in which right answers get full marks on most rows; None if none does."""
    full = [
        outcome.probe.name
        for result in results
        if marks.reached(result)
        for outcome in result.outcomes
        if outcome.probe.name in FORMS
        and outcome.record.score is not None
        and marks.is_full(outcome.record.score, of=result)
    ]
    return max(FORMS, key=full.count) if full else None


def _repeated(spec: Spec) -> int:
    return 1 if is_judged(spec) else REPEATED_ROWS


def _check_row(row: ProbeRow, *, rows: Sequence[ProbeRow], spec: Spec, grade: Grade, repeat: bool) -> RowResult:
    result = RowResult(row)
    _grade(right_probes(row, spec=spec), into=result, grade=grade)
    scored = [outcome for outcome in result.outcomes if outcome.record.score is not None]
    best = max(scored, key=lambda outcome: outcome.record.score or 0.0, default=None)
    if result.outcomes and all(outcome.record.status is ScoreStatus.TIMEOUT for outcome in result.outcomes):
        return result
    form = "bare" if best is None else best.probe.name
    _grade(wrong_probes(row, rows=rows, form=form, spec=spec), into=result, grade=grade)
    if repeat and all(outcome.record.status is not ScoreStatus.TIMEOUT for outcome in result.outcomes):
        reverse = result.outcomes[::-1]
        records = grade([_sample(row, outcome.probe) for outcome in reverse])
        repeated = [Outcome(first.probe, first.record, again) for first, again in zip(reverse, records, strict=True)]
        result.outcomes = repeated[::-1]
    return result


def _grade(probes: Sequence[Probe], *, into: RowResult, grade: Grade) -> None:
    if probes:
        records = grade([_sample(into.row, probe) for probe in probes])
        into.outcomes += [Outcome(probe, record) for probe, record in zip(probes, records, strict=True)]


def _sample(row: ProbeRow, probe: Probe) -> Sample:
    return Sample(
        output_text=probe.text, item=row.item, answer=row.accepted or row.answer, messages=row.messages or None
    )


def _columns(results: Sequence[RowResult], *, spec: Spec) -> list[dict[str, str]]:
    present = {outcome.probe.name for result in results for outcome in result.outcomes}
    return [
        {"name": name, "kind": kind, "label": label}
        for name, (kind, label) in probe_labels(spec).items()
        if name in present
    ]


def _matrix_row(result: RowResult, *, columns: Sequence[Mapping[str, str]], marks: Marks) -> dict[str, Any]:
    """Return the row's line of the matrix: a cell for each column, null if the row has no such text."""
    return {
        "row": result.row.number,
        "answer": None if result.row.answer is None else truncated(result.row.answer),
        "cells": [_cell(result, column["name"], marks=marks) for column in columns],
    }


def _cell(result: RowResult, name: str, *, marks: Marks) -> dict[str, Any] | None:
    """Return the best-scored of the row's texts of this name; `full`: whether it counts as full marks."""
    outcomes = [outcome for outcome in result.outcomes if outcome.probe.name == name]
    if not outcomes:
        return None
    best = max(outcomes, key=lambda outcome: (outcome.record.score is not None, outcome.record.score or 0.0))
    return {
        "score": best.record.score,
        "full": best.record.score is not None and marks.is_full(best.record.score, of=result),
        "status": best.record.status.value,
        "text": truncated(best.probe.text),
        "reason": None if best.record.reason is None else truncated(best.record.reason, end=True),
    }
