"""Altered right answers in a self-check: texts that differ from a reference by little, and must not get full marks.

Pure, apart from the one call of the sandbox that grades them all.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backend.core.verdict import Finding, Level, quoted, truncated
from backend.verifiers import specs
from backend.verifiers.alterations import CHANGES, MAX_ALTERATIONS, Alteration, Change, Scale, alterations
from backend.verifiers.decimal_marks import read_column
from backend.verifiers.probes import FORMS, ProbeRow
from backend.verifiers.reading import comparing_graders, is_judged, known_references
from backend.verifiers.record import ScoreRecord
from backend.verifiers.reference_forms import UNITS, sample_of_forms
from backend.verifiers.selfcheck_findings import MOST, SAME, Marks
from backend.verifiers.selfcheck_result import AlteredAnswer
from backend.verifiers.specs import Single, Spec

MAX_ROWS = 8
"""References that are altered, in turn from each form."""
MAX_JUDGED = 2
"""References, and alterations of each, if each call costs a request to a judge."""
SEED = 0
NEAR = 0.01
"""Share of the range by which an altered answer may fall short of the right one, such as for its length."""
SHOWN = 3
"""Altered answers that a finding names."""
_LETTERS = frozenset("ABCDEFGHIJ")
_NEGATIVE = re.compile(r"(?<![\w)])[−–-]\s?\W?\d")


@dataclass(frozen=True, slots=True)
class AlteredRow:
    """A reference, the text that gives it, and for each alteration the text that gives that."""

    row: ProbeRow
    reference: str
    right: str
    wrong: Mapping[str, Alteration]

    @property
    def texts(self) -> list[str]:
        return [self.right, *self.wrong]


@dataclass(frozen=True, slots=True)
class AlteredResult:
    """A graded altered answer; `full`: the right answer got full marks, and this one the same, or nearly.

    `tolerated`: that is so of a number nearby, which a tolerance may accept; then it is not `full`.
    """

    row: int
    reference: str
    alteration: Alteration
    text: str
    record: ScoreRecord
    full: bool
    tolerated: bool = False


def altered_rows(rows: Sequence[ProbeRow], *, spec: Spec, form: str, most_texts: int) -> list[AlteredRow]:
    """Choose rows whose references can be altered, in turn from each form, with at most this many texts in all."""
    parts = comparing_graders(spec)
    changes = frozenset[Change]().union(*(_changes(part) for part in parts))
    known = [(row, found[0]) for row in rows if (found := known_references(spec, item=row.item, answer=row.answer))]
    references = [reference for _, reference in known]
    scale = _scale(parts, references)
    most_rows, most_each = (MAX_JUDGED, MAX_JUDGED) if is_judged(spec) else (MAX_ROWS, MAX_ALTERATIONS)
    chosen: list[AlteredRow] = []
    for place in sample_of_forms(references, count=len(references)) if changes else []:
        row, reference = known[place]
        right = {text.casefold() for text in row.accepted}
        made = [each for each in alterations(reference, scale=scale, seed=SEED) if each.change in changes]
        tried = [each for each in made if each.text.casefold() not in right]
        altered = _altered(row, reference, tried[:most_each], form=form, spec=spec)
        if len(chosen) == most_rows or (altered is not None and len(altered.texts) > most_texts):
            break
        if altered is not None:
            chosen.append(altered)
            most_texts -= len(altered.texts)
    return chosen


def altered_results(
    rows: Sequence[AlteredRow], records: Sequence[ScoreRecord], *, marks: Marks, spec: Spec
) -> list[AlteredResult]:
    """Judge the records of the texts of all rows, in order; rows whose right answer gets no full marks are left out."""
    short = SAME if _by_degree(spec) else max(SAME, NEAR * (marks.full - marks.floor))
    results: list[AlteredResult] = []
    graded = iter(records)
    for row in rows:
        right, *others = [next(graded) for _ in row.texts]
        if right.score is None or right.score < marks.full_from - SAME or marks.full <= marks.floor:
            continue
        of_row = []
        for (text, alteration), record in zip(row.wrong.items(), others, strict=True):
            full = record.score is not None and record.score >= right.score - short
            of_row.append(AlteredResult(row.row.number, row.reference, alteration, text, record, full))
        results += _with_tolerance(of_row)
    return results


def _with_tolerance(results: Sequence[AlteredResult]) -> Iterator[AlteredResult]:
    """Tell the numbers with full marks that are nearer to the right one than any that was refused."""
    offs = [
        each.alteration.off
        for each in results
        if each.alteration.off is not None and not each.full and each.record.score is not None
    ]
    for each in results:
        off = each.alteration.off
        tolerated = each.full and off is not None and (not offs or off <= min(offs))
        yield replace(each, full=False, tolerated=True) if tolerated else each


def altered_findings(results: Sequence[AlteredResult], *, spec: Spec, rows: Sequence[ProbeRow]) -> Iterator[Finding]:
    """Report each kind of change with which an altered answer got full marks, and how many were tried.

    A sign counts less where no reference of the rows has one.
    """
    if results and not any(result.full for result in results):
        message = f"None of {len(results)} altered right answers (another digit, sign, unit, …) gets full marks."
        yield Finding("altered", Level.PASS, message)
    for change, what in CHANGES.items():
        tried = [result for result in results if result.alteration.change is change]
        full = [result for result in tried if result.full]
        if full:
            lenient = _by_degree(spec) or (is_judged(spec) and len(full) <= MOST * len(tried))
            lenient |= change is Change.SIGN and not _has_signs(rows, spec=spec)
            named = "; ".join(_named(result) for result in full[:SHOWN])
            message = f"{len(full)} of {len(tried)} altered right answers ({what}) get full marks: {named}."
            yield Finding(f"{change.value}_full", Level.WARN if lenient else Level.FAIL, message)
    tolerated = [result for result in results if result.tolerated]
    if tolerated:
        named = "; ".join(_named(result) for result in tolerated[:SHOWN])
        message = f"{len(tolerated)} numbers next to right answers get full marks: {named}. A tolerance explains that."
        yield Finding("tolerance", Level.WARN, f"{message} If none is meant, compare the numbers exactly.")


def altered_json(results: Sequence[AlteredResult]) -> list[dict[str, Any]]:
    """Return the altered answers for the result, those with full marks first."""
    shown = [
        AlteredAnswer(
            row=result.row,
            change=result.alteration.change,
            label=CHANGES[result.alteration.change],
            reference=truncated(result.reference),
            altered=truncated(result.alteration.text),
            text=truncated(result.text, end=True),
            score=result.record.score,
            status=result.record.status,
            full=result.full,
            tolerated=result.tolerated,
        )
        for result in sorted(results, key=lambda result: not result.full)
    ]
    return [each.model_dump(mode="json") for each in shown]


def _has_signs(rows: Sequence[ProbeRow], *, spec: Spec) -> bool:
    known = (text for row in rows for text in known_references(spec, item=row.item, answer=row.answer))
    return any(_NEGATIVE.search(text) for text in known)


def _changes(part: Single) -> frozenset[Change]:
    """Return the changes that make an answer wrong for this grader, by what it promises to compare."""
    match part:
        case specs.ChoiceGrader():
            return frozenset({Change.CHOICE, Change.ELEMENT})
        case specs.StringCheck(operation="ne"):
            return frozenset()
        case specs.Math():
            return frozenset(Change) - {Change.UNIT}
        case specs.Number() if not part.units:
            return frozenset(Change) - {Change.UNIT}
        case _:
            return frozenset(Change)


def _by_degree(spec: Spec) -> bool:
    """Return whether every grader measures a similarity, which does not promise that small differences count."""
    return all(isinstance(part, specs.TextSimilarity) for part in comparing_graders(spec))


def _scale(parts: Sequence[Single], references: Sequence[str]) -> Scale:
    numbers = [part for part in parts if isinstance(part, specs.Number)]
    factors = {unit: factor for part in numbers for unit, factor in part.units.items()}
    marks = [part.decimal_mark for part in numbers if part.decimal_mark is not None]
    choices = next((part.choices for part in parts if isinstance(part, specs.ChoiceGrader)), _letters(references))
    absolute, relative = zip((0.0, 0.0), *(part.tolerances for part in numbers), strict=True)
    return Scale(
        decimal_mark=marks[0] if marks else read_column(references).decimal_mark,
        tolerance=(max(absolute), max(relative)),
        units={unit: [other for other in factors if other != unit] for unit in factors} if factors else UNITS,
        factors=factors,
        choices=choices,
        references=references,
    )


def _letters(references: Sequence[str]) -> tuple[str, ...]:
    """Return the letters of a multiple choice if all references are such letters."""
    letters = {reference.strip(" ().").upper() for reference in references}
    return tuple(sorted(letters)) if letters <= _LETTERS else ()


def _altered(row: ProbeRow, reference: str, found: Sequence[Alteration], *, form: str, spec: Spec) -> AlteredRow | None:
    """Write the reference and its alterations in a form; None if the form has no place for them."""
    right = FORMS[form][1](reference, row, spec)
    texts = {_given(each.text, reference, row, form=form, spec=spec): each for each in found}
    wrong = {text: each for text, each in texts.items() if text and text != right}
    return AlteredRow(row, reference, right, wrong) if right and wrong else None


def _given(altered: str, reference: str, row: ProbeRow, *, form: str, spec: Spec) -> str | None:
    """Return a completion that gives the altered answer where the form has the reference."""
    if form == "solution":
        before, found, after = (row.solution or "").rpartition(reference)
        return f"{before}{altered}{after}" if found else None
    item = {name: altered if str(value) == reference else value for name, value in row.item.items()}
    return FORMS[form][1](altered, replace(row, item=item, answer=altered), spec)


def _named(result: AlteredResult) -> str:
    given, right = quoted(result.alteration.text), quoted(result.reference)
    return f"{given} for {right} (row {result.row}) scores {result.record.score:g}"
