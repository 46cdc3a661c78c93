"""A verifier tried before it is trained with: right answers must get full marks, silence and nonsense must not. Pure.

Each row is tried by itself: first its right answer in every form (probes.py), then what must not score, written in the
form in which the right answer did best. The first rows are tried twice, the second time backwards: equal texts must
get equal scores. What it all means is decided in selfcheck_findings.py; `docs/checks.md` explains each finding.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backend.verdict import verdict
from backend.verifiers.probes import Probe, ProbeRow, labels, right_probes, wrong_probes
from backend.verifiers.reading import is_judged
from backend.verifiers.record import ScoreRecord, ScoreStatus
from backend.verifiers.selfcheck_findings import Marks, RowResult, Tried, conclude
from backend.verifiers.specs import Spec
from backend.verifiers.templates import Sample

__all__ = ["ProbeRow", "self_check", "spread"]

Grade = Callable[[Sequence[Sample]], Sequence[ScoreRecord]]
"""One record a sample, in order: a sandbox bound to the verifier."""

BUDGET_S = 60.0
"""Seconds after which no further row is begun."""
REPEATED_ROWS = 2
SHOWN_CHARS = 300


def self_check(
    rows: Sequence[ProbeRow],
    *,
    spec: Spec,
    grade: Grade,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    budget_s: float = BUDGET_S,
) -> dict[str, Any]:
    """The verdict on a verifier (backend.verdict), with a matrix of rows and probes. `progress`: (rows done, of all).

    What `grade` raises passes through: the sandbox itself did not work.
    """
    started = time.monotonic()
    results: list[RowResult] = []
    for row in rows:
        if results and time.monotonic() - started > budget_s:
            break
        results.append(_try(row, rows=rows, spec=spec, grade=grade, repeat=len(results) < _repeated(spec)))
        progress(len(results), len(rows))
        if all(tried.record.status is ScoreStatus.TIMEOUT for tried in results[-1].tried):
            break
    found = conclude(results, spec=spec, asked=len(rows))
    where = "the row" if len(results) == 1 else f"all {len(results)} rows"
    good = f"Right answers get full marks on {where} tried; silence, noise and other answers do not."
    columns = _columns(results, spec=spec)
    details = {
        "rows_checked": len(results),
        "rows_asked": len(rows),
        "calls": sum(len(result.tried) for result in results),
        "full_marks": found.marks.full,
        **found.figures,
        "probes": columns,
        "rows": [_shown(result, columns=columns, marks=found.marks) for result in results],
    }
    return verdict(found.findings, good=good, details=details)


def spread(count: int, *, over: int) -> list[int]:
    """At most `count` numbers of 0 … `over` - 1, evenly apart."""
    wanted = min(count, over)
    return [place * over // wanted for place in range(wanted)]


def _repeated(spec: Spec) -> int:
    return 1 if is_judged(spec) else REPEATED_ROWS


def _try(row: ProbeRow, *, rows: Sequence[ProbeRow], spec: Spec, grade: Grade, repeat: bool) -> RowResult:
    result = RowResult(row)
    _grade(right_probes(row, spec=spec), into=result, grade=grade)
    scored = [tried for tried in result.tried if tried.record.score is not None]
    best = max(scored, key=lambda tried: tried.record.score or 0.0, default=None)
    if result.tried and all(tried.record.status is ScoreStatus.TIMEOUT for tried in result.tried):
        return result
    form = "bare" if best is None else best.probe.name
    _grade(wrong_probes(row, rows=rows, form=form, spec=spec), into=result, grade=grade)
    if repeat and all(tried.record.status is not ScoreStatus.TIMEOUT for tried in result.tried):
        backwards = result.tried[::-1]
        again = grade([_sample(row, tried.probe) for tried in backwards])
        repeated = [Tried(one.probe, one.record, record) for one, record in zip(backwards, again, strict=True)]
        result.tried = repeated[::-1]
    return result


def _grade(probes: Sequence[Probe], *, into: RowResult, grade: Grade) -> None:
    if probes:
        records = grade([_sample(into.row, probe) for probe in probes])
        into.tried += [Tried(probe, record) for probe, record in zip(probes, records, strict=True)]


def _sample(row: ProbeRow, probe: Probe) -> Sample:
    return Sample(output_text=probe.text, item=row.item, answer=row.answer, messages=row.messages or None)


def _columns(results: Sequence[RowResult], *, spec: Spec) -> list[dict[str, str]]:
    there = {tried.probe.name for result in results for tried in result.tried}
    return [
        {"name": name, "kind": kind, "label": label} for name, (kind, label) in labels(spec).items() if name in there
    ]


def _shown(result: RowResult, *, columns: Sequence[Mapping[str, str]], marks: Marks) -> dict[str, Any]:
    """The row's line of the matrix: a cell for each column, null where the row has no such text."""
    return {
        "row": result.row.number,
        "answer": None if result.row.answer is None else _cut(result.row.answer),
        "cells": [_cell(result, column["name"], marks=marks) for column in columns],
    }


def _cell(result: RowResult, name: str, *, marks: Marks) -> dict[str, Any] | None:
    """The best-scored of the row's texts of this name; `full`: whether that counts for full marks."""
    tried = [one for one in result.tried if one.probe.name == name]
    if not tried:
        return None
    best = max(tried, key=lambda one: (one.record.score is not None, one.record.score or 0.0))
    return {
        "score": best.record.score,
        "full": best.record.score is not None and marks.is_full(best.record.score, of=result),
        "status": best.record.status.value,
        "text": _cut(best.probe.text),
        "reason": None if best.record.reason is None else _cut(best.record.reason, end=True),
    }


def _cut(text: str, *, end: bool = False) -> str:
    """Storable everywhere, and short: the beginning, or the end, where a traceback says what happened."""
    clean = text.replace("\x00", "\ufffd").encode(errors="replace").decode()
    if len(clean) <= SHOWN_CHARS:
        return clean
    return "…" + clean[-SHOWN_CHARS:] if end else clean[:SHOWN_CHARS] + "…"
