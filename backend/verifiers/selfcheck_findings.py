"""What follows from the scores of a self-check. Pure.

Full marks are the most that the type can give. Where only the author knows (`python`, the formula of a `multi`) they
are the best score of any right answer, and nine tenths of the way there from the lowest score seen count as full.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.verdict import Finding, Level
from backend.verifiers.probes import FORMS, OTHERS, Kind, Probe, ProbeRow, labels
from backend.verifiers.reading import known_references, reads_row, reads_text, score_range
from backend.verifiers.record import ScoreRecord, ScoreStatus
from backend.verifiers.specs import Spec

NEAR = 0.1
"""Share of the range of scores that full marks may fall short of."""
MOST = 0.5
"""More than this share of the rows, or calls, is most."""
SLOW_MS = 500.0
"""Median time of a call from which training feels it."""
SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Tried:
    """A text and what the verifier made of it; `again`: the second time, where there was one."""

    probe: Probe
    record: ScoreRecord
    again: ScoreRecord | None = None


@dataclass(slots=True)
class RowResult:
    """All that was tried on one row."""

    row: ProbeRow
    tried: list[Tried] = field(default_factory=list)

    def scores(self, *names: str) -> list[float]:
        """Of the texts with these names that were scored."""
        return [t.record.score for t in self.tried if t.probe.name in names and t.record.score is not None]

    def has_right_answer(self, spec: Spec) -> bool:
        """Whether one was tried that was not merely guessed at; a guess that scores was right."""
        known = known_references(spec, item=self.row.item, answer=self.row.answer) or self.row.solution
        return any(tried.probe.name in FORMS for tried in self.tried) and bool(known)

    @property
    def best_right(self) -> float | None:
        return max(self.scores(*FORMS), default=None)


@dataclass(frozen=True, slots=True)
class Marks:
    """The scale that a verifier's scores are read on."""

    floor: float
    full: float
    known: bool
    """Whether the type sets it."""

    @classmethod
    def of(cls, results: Sequence[RowResult], *, spec: Spec) -> "Marks":
        ends = score_range(spec)
        if ends is not None:
            return cls(*ends, known=True)
        best = [result.best_right for result in results if result.best_right is not None]
        seen = [t.record.score for result in results for t in result.tried if t.record.score is not None]
        floor, top = min(seen, default=0.0), max(best, default=1.0)
        if top <= floor and not any(result.has_right_answer(spec) for result in results):
            top = max(top, 1.0)  # guesses at the right answer that were none say nothing
        return cls(floor, top, known=False)

    @property
    def enough(self) -> float:
        return self.full - NEAR * max(0.0, self.full - self.floor)

    def reached(self, result: RowResult) -> bool:
        """Whether a right answer of the row got full marks."""
        return result.best_right is not None and result.best_right >= self.enough - SAME and self.full > self.floor

    def is_full(self, score: float, *, of: RowResult) -> bool:
        """Whether a score counts for full marks on this row, whose right answer may get less than others'."""
        best = of.best_right
        usual = self.enough if best is None else min(self.enough, max(best, (self.floor + self.full) / 2))
        return score >= usual - SAME

    def given_to(self, result: RowResult, *names: str) -> bool:
        """Whether every such text of the row got full marks."""
        scores = result.scores(*names)
        return bool(scores) and self.is_full(min(scores), of=result)


@dataclass(frozen=True, slots=True)
class Conclusion:
    findings: list[Finding]
    marks: Marks
    figures: dict[str, Any]
    """`errors`, `timeouts`, `abstentions` (calls), `median_ms`, `max_ms`."""


def conclude(results: Sequence[RowResult], *, spec: Spec, asked: int) -> Conclusion:
    marks = Marks.of(results, spec=spec)
    findings = [*_of_running(results, asked=asked), *_of_looking(spec)]
    scores = {t.record.score for result in results for t in result.tried if t.record.score is not None}
    if len(scores) == 1 and any(result.scores(*FORMS) and result.has_right_answer(spec) for result in results):
        findings.append(_constant(scores.pop(), results, spec=spec))
    elif scores:
        findings += [*_of_right(results, spec=spec, marks=marks), *_of_wrong(results, spec=spec, marks=marks)]
    elif not any(finding.level is Level.FAIL for finding in findings):
        findings.append(Finding("no_scores", Level.FAIL, "The verifier abstained from every text: nothing is scored."))
    figures = _figures(results)
    findings += _of_time(figures)
    return Conclusion(findings, marks, figures)


def _of_running(results: Sequence[RowResult], *, asked: int) -> Iterator[Finding]:
    records = [tried.record for result in results for tried in result.tried]
    for status, code, what in (
        (ScoreStatus.ERROR, "errors", "failed with an error"),
        (ScoreStatus.TIMEOUT, "timeouts", "ran into the time limit"),
    ):
        met = [record for record in records if record.status is status]
        if met:
            level = Level.FAIL if len(met) > MOST * len(records) else Level.WARN
            reason = next((_in_a_line(record.reason) for record in met if record.reason), "no reason given")
            yield Finding(code, level, f"{len(met)} of {len(records)} calls {what}; the first: {reason}")
    if len(results) < asked:
        yield Finding(
            "cut_short",
            Level.WARN,
            f"Only {len(results)} of {asked} rows were tried: the calls took too long for more.",
        )
    differing = [t for result in results for t in result.tried if t.again is not None and not _equal(t.record, t.again)]
    if differing:
        one = differing[0]
        yield Finding(
            "not_repeatable",
            Level.WARN,
            f"{len(differing)} texts got another verdict when they were scored again, for example {_said(one.record)} "
            f"and then {_said(one.again)}: a reward that changes by itself is noise to the training.",
        )


def _of_looking(spec: Spec) -> Iterator[Finding]:
    if not reads_text(spec):
        message = "The source never looks at what the model wrote, so it cannot judge it."
        yield Finding("ignores_text", Level.FAIL, message)
    elif not reads_row(spec):
        message = "The verifier never looks at the row: it scores the form alone, whatever the answer says."
        yield Finding("form_only", Level.WARN, message)


def _of_right(results: Sequence[RowResult], *, spec: Spec, marks: Marks) -> Iterator[Finding]:
    able = [result for result in results if result.has_right_answer(spec)]
    compares = reads_row(spec)
    if not able:
        if compares and not any(marks.reached(result) for result in results):
            message = (
                "No row has a reference answer that the check knows of, so it only tried what must not score: name "
                "the column with the answer by `mapping` at upload."
            )
            yield Finding("no_reference", Level.WARN, message)
        return
    short = [result for result in able if not marks.reached(result)]
    if short:
        level = Level.FAIL if compares and _most(short, able) and _hopeless(short, able, marks=marks) else Level.WARN
        best = max((result.best_right for result in short if result.best_right is not None), default=None)
        most = "and was not scored at all" if best is None else f"{best:g} at most"
        wanted = "scored above nonsense" if marks.full <= marks.floor else f"got full marks ({marks.full:g})"
        message = f"In {_of(short, able)}, the first row {short[0].row.number}, no right answer {wanted}: {most}."
        yield Finding("right_not_full", level, f"{message} {_forms(able)}")
    if not marks.known and max(marks.floor, 0.0) < marks.full < 1 - NEAR:
        message = (
            f"The best right answer scores {marks.full:g}. If 1 is the most the verifier gives, none of the forms "
            "tried is the one that it wants."
        )
        yield Finding("below_one", Level.WARN, message)


def _constant(score: float, results: Sequence[RowResult], *, spec: Spec) -> Finding:
    """A form that no text had is no fault where the form alone is scored."""
    level = Level.WARN if score <= 0 and not reads_row(spec) else Level.FAIL
    message = (
        f"Every text scored {score:g}, right answers and nonsense alike, so nothing can be learned. {_forms(results)}"
    )
    return Finding("constant", level, message)


def _hopeless(short: Sequence[RowResult], able: Sequence[RowResult], *, marks: Marks) -> bool:
    """Where the range of scores is the author's, a right answer need only stand out from nonsense."""
    if marks.known:
        return True
    nonsense = ("empty", "blank", "noise", *OTHERS)
    sunk = [
        result
        for result in short
        if result.best_right is None or result.best_right <= max(result.scores(*nonsense), default=marks.floor) + SAME
    ]
    return _most(sunk, able)


_SAID: dict[str, tuple[tuple[str, ...], str]] = {
    "empty_full": (("empty",), "Empty text"),
    "blank_full": (("blank",), "A text of blanks"),
    "noise_full": (("noise",), "Noise"),
    "other_answer_full": (OTHERS, "Another row's answer"),
    "question_full": (("question",), "The question, repeated,"),
    "options_full": (("options",), "A line that lists all answers of the data"),
    "options_as_answers_full": (("options_as_answers",), "A list of all answers, each given as an answer,"),
    "denied_full": (("denied",), "A text that denies the right answer and gives a wrong one"),
    "long_full": (("long",), "A very long text without the answer"),
    "injection_full": (("injection",), "A text that orders the judge to give the highest score"),
}
_ADVICE = {
    "options_full": " A model soon learns to list everything: ask for one answer, in one place.",
    "options_as_answers_full": " A model soon learns to list everything: look at the last answer only.",
    "question_full": " A model may learn to repeat the question.",
}


def _of_wrong(results: Sequence[RowResult], *, spec: Spec, marks: Marks) -> Iterator[Finding]:
    kinds = {name: kind for name, (kind, _) in labels(spec).items()}
    compares = reads_row(spec)
    for code, (names, text) in _SAID.items():
        able = [result for result in results if result.scores(*names)]
        fooled = [result for result in able if marks.given_to(result, *names)]
        if not fooled:
            continue
        if names == OTHERS and not compares:
            continue  # said already: the form alone is scored
        levels = (Level.WARN, Level.FAIL) if kinds[names[0]] is Kind.WRONG else (Level.PASS, Level.WARN)
        level = levels[_most(fooled, able)]
        message = f"{text} gets full marks in {_of(fooled, able)}.{_ADVICE.get(code, '')}"
        yield Finding(code, level, message)


def _of_time(figures: dict[str, Any]) -> Iterator[Finding]:
    median, most = figures["median_ms"], figures["max_ms"]
    if median is None:
        return
    took = f"A call takes {median:.3g} ms (median), {most:.3g} ms at most"
    if median >= SLOW_MS:
        message = f"{took}: 64 completions a step take {median * 64 / 1000:.0f} s to score."
        yield Finding("slow", Level.WARN, message)
    else:
        yield Finding("time", Level.PASS, f"{took}.")


def _figures(results: Sequence[RowResult]) -> dict[str, Any]:
    records = [tried.record for result in results for tried in result.tried]
    times = [record.ms for record in records if record.status in (ScoreStatus.OK, ScoreStatus.ABSTAIN)]

    def count(status: ScoreStatus) -> int:
        return sum(record.status is status for record in records)

    return {
        "errors": count(ScoreStatus.ERROR),
        "timeouts": count(ScoreStatus.TIMEOUT),
        "abstentions": count(ScoreStatus.ABSTAIN),
        "median_ms": round(statistics.median(times), 3) if times else None,
        "max_ms": round(max(times), 3) if times else None,
    }


def _equal(first: ScoreRecord, second: ScoreRecord) -> bool:
    same_score = first.score == second.score or (
        first.score is not None and second.score is not None and abs(first.score - second.score) <= SAME
    )
    return first.status is second.status and same_score


def _most(some: Sequence[object], of: Sequence[object]) -> bool:
    return len(some) > MOST * len(of)


def _of(some: Sequence[object], of: Sequence[object]) -> str:
    return f"{len(some)} of {len(of)} rows" if len(of) > 1 else "the one row"


def _forms(results: Sequence[RowResult]) -> str:
    """How many were tried; `docs/checks.md` lists them all."""
    count = len({t.probe.name for result in results for t in result.tried} & FORMS.keys())
    return f"Right answers were tried in {count} forms, from the answer alone to JSON." if count > 1 else ""


def _said(record: ScoreRecord | None) -> str:
    assert record is not None
    return record.status.value if record.score is None else f"{record.score:g}"


def _in_a_line(reason: str) -> str:
    return " ".join(reason.split())[:300]
