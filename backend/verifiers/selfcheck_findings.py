"""Findings from the scores of a self-check. Pure.

Full marks are the maximum score of the type. If the type does not define one (`python`, `multi`), full marks are the
best score of any right answer; scores in the top tenth between the lowest observed score and this count as full.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.core.verdict import Finding, Level
from backend.verifiers.probes import FORMS, OTHER_ANSWERS, OTHERS_IN_WORDS, Kind, Probe, ProbeRow, probe_labels
from backend.verifiers.reading import known_references, reads_row, reads_text, score_range
from backend.verifiers.record import OUT_OF_RANGE, ScoreRecord, ScoreStatus
from backend.verifiers.specs import Spec

NEAR = 0.1
"""Share of the score range by which a score may fall short of full marks."""
MOST = 0.5
"""Share above which rows, or calls, count as most."""
SLOW_MS = 500.0
"""Median time of a call from which training slows down noticeably."""
SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Outcome:
    """A probe and its score record; `again`: the record of a second grading, if any."""

    probe: Probe
    record: ScoreRecord
    again: ScoreRecord | None = None


@dataclass(slots=True)
class RowResult:
    """Outcomes of all probes of one row."""

    row: ProbeRow
    outcomes: list[Outcome] = field(default_factory=list)

    def scores(self, *names: str) -> list[float]:
        """Return the scores of the texts with these names, without missing ones."""
        return [t.record.score for t in self.outcomes if t.probe.name in names and t.record.score is not None]

    def has_right_answer(self, spec: Spec) -> bool:
        """Return whether a known right answer was graded, not only a guessed one."""
        known = known_references(spec, item=self.row.item, answer=self.row.answer) or self.row.solution
        return any(outcome.probe.name in FORMS for outcome in self.outcomes) and bool(known)

    @property
    def best_right(self) -> float | None:
        return max(self.scores(*FORMS), default=None)


@dataclass(frozen=True, slots=True)
class Marks:
    """The scale of a verifier's scores."""

    floor: float
    full: float
    known: bool
    """Whether the type defines it."""

    @classmethod
    def of(cls, results: Sequence[RowResult], *, spec: Spec) -> "Marks":
        ends = score_range(spec)
        if ends is not None:
            return cls(*ends, known=True)
        best = [result.best_right for result in results if result.best_right is not None]
        observed = [t.record.score for result in results for t in result.outcomes if t.record.score is not None]
        floor, top = min(observed, default=0.0), max(best, default=1.0)
        if top <= floor and not any(result.has_right_answer(spec) for result in results):
            top = max(top, 1.0)  # only guessed answers were graded, so equal scores prove nothing
        return cls(floor, top, known=False)

    @property
    def full_from(self) -> float:
        return self.full - NEAR * max(0.0, self.full - self.floor)

    def reached(self, result: RowResult) -> bool:
        """Return whether a right answer of the row got full marks."""
        return result.best_right is not None and result.best_right >= self.full_from - SAME and self.full > self.floor

    def is_full(self, score: float, *, of: RowResult) -> bool:
        """Return whether a score counts as full marks on this row, whose right answer may score below others."""
        best = of.best_right
        usual = self.full_from if best is None else min(self.full_from, max(best, (self.floor + self.full) / 2))
        return score >= usual - SAME

    def given_to(self, result: RowResult, *names: str) -> bool:
        """Return whether of each of these names that the row has, a text got full marks."""
        best = [max(scores) for name in names if (scores := result.scores(name))]
        return bool(best) and self.is_full(min(best), of=result)


@dataclass(frozen=True, slots=True)
class Conclusion:
    findings: list[Finding]
    marks: Marks
    figures: dict[str, Any]
    """`errors`, `timeouts`, `abstentions` (calls), `median_ms`, `max_ms`."""


def conclude(results: Sequence[RowResult], *, spec: Spec, requested: int) -> Conclusion:
    """Derive the findings, the scale and the statistics of a self-check of `requested` rows."""
    marks = Marks.of(results, spec=spec)
    findings = [*_execution_findings(results, requested=requested), *_range_findings(results), *_input_findings(spec)]
    scores = {t.record.score for result in results for t in result.outcomes if t.record.score is not None}
    if len(scores) == 1 and any(result.scores(*FORMS) and result.has_right_answer(spec) for result in results):
        findings.append(_constant(scores.pop(), results, spec=spec))
    elif scores:
        findings += [
            *_right_answer_findings(results, spec=spec, marks=marks),
            *_wrong_answer_findings(results, spec=spec, marks=marks),
            *_abstention_findings(results, spec=spec),
        ]
    elif not any(finding.level is Level.FAIL for finding in findings):
        findings.append(
            Finding("no_scores", Level.FAIL, "The verifier abstained on every text, so nothing was scored.")
        )
    figures = _figures(results)
    findings += _time_findings(figures)
    return Conclusion(findings, marks, figures)


def _execution_findings(results: Sequence[RowResult], *, requested: int) -> Iterator[Finding]:
    records = [outcome.record for result in results for outcome in result.outcomes]
    for status, code, what in (
        (ScoreStatus.ERROR, "errors", "failed with an error"),
        (ScoreStatus.TIMEOUT, "timeouts", "exceeded the time limit"),
    ):
        affected = [record for record in records if record.status is status]
        if affected:
            level = Level.FAIL if len(affected) > MOST * len(records) else Level.WARN
            reason = next((_in_a_line(record.reason) for record in affected if record.reason), "no reason given")
            yield Finding(code, level, f"{len(affected)} of {len(records)} calls {what}; the first: {reason}")
    if len(results) < requested:
        yield Finding(
            "cut_short",
            Level.WARN,
            f"Only {len(results)} of {requested} rows were checked: the calls took too long for more.",
        )
    differing = [
        t for result in results for t in result.outcomes if t.again is not None and not _equal(t.record, t.again)
    ]
    if differing:
        example = differing[0]
        yield Finding(
            "not_repeatable",
            Level.WARN,
            f"{len(differing)} texts got a different score when graded again, for example "
            f"{_score_text(example.record)} and then {_score_text(example.again)}: such a reward is noise in training.",
        )


def _range_findings(results: Sequence[RowResult]) -> Iterator[Finding]:
    reasons = [t.record.reason or "" for result in results for t in result.outcomes]
    beyond = [reason for reason in reasons if OUT_OF_RANGE in reason]
    if beyond:
        count = f"{len(beyond)} of {len(reasons)} scores"
        message = f"{count} are beyond the verifier's range, so they count as errors: {_in_a_line(beyond[0])}."
        yield Finding("out_of_range", Level.FAIL, message)


def _input_findings(spec: Spec) -> Iterator[Finding]:
    if not reads_text(spec):
        message = "The source never reads the completion, so it cannot grade it."
        yield Finding("ignores_text", Level.FAIL, message)
    elif not reads_row(spec):
        message = "The verifier never reads the row: it scores only the form, whatever the answer is."
        yield Finding("form_only", Level.WARN, message)


def _right_answer_findings(results: Sequence[RowResult], *, spec: Spec, marks: Marks) -> Iterator[Finding]:
    able = [result for result in results if result.has_right_answer(spec)]
    compares = reads_row(spec)
    if not able:
        if compares and not any(marks.reached(result) for result in results):
            message = (
                "No row has a known reference answer, so only wrong answers were checked: set the answer column with "
                "`mapping` at upload."
            )
            yield Finding("no_reference", Level.WARN, message)
        return
    short = [result for result in able if not marks.reached(result)]
    if short:
        level = Level.FAIL if compares and _most(short, able) and _hopeless(short, able, marks=marks) else Level.WARN
        best = max((result.best_right for result in short if result.best_right is not None), default=None)
        most = "none was scored" if best is None else f"the best score was {best:g}"
        wanted = "scored above nonsense" if marks.full <= marks.floor else f"got full marks ({marks.full:g})"
        message = f"In {_of(short, able)}, the first row {short[0].row.number}, no right answer {wanted}: {most}."
        yield Finding("right_not_full", level, f"{message} {_forms(able)}")
    low, high = spec.bounds
    if not marks.known and max(marks.floor, low) < marks.full < high - NEAR * (high - low):
        message = (
            f"The best right answer scores {marks.full:g}. If the verifier reaches the end of its range, {high:g}, "
            "none of the tested forms is the one that it expects."
        )
        yield Finding("below_one", Level.WARN, message)


def _constant(score: float, results: Sequence[RowResult], *, spec: Spec) -> Finding:
    """Return the finding for equal scores, which fails unless only the form is scored and all scores are 0."""
    level = Level.WARN if score <= 0 and not reads_row(spec) else Level.FAIL
    abstained = _abstained(results)
    if not abstained:
        message = f"Every text scored {score:g}, right answers and nonsense alike, so nothing can be learned."
        return Finding("constant", level, f"{message} {_forms(results)}")
    message = (
        f"Every text that was scored got {score:g}. The verifier abstained on the other {len(abstained)} of "
        f"{_calls(results)} texts ({_names(abstained, spec=spec)}), which training leaves out, so nothing can be "
        "learned. Return a score below that of a right answer for a wrong one, not None."
    )
    return Finding("constant", level, message)


def _abstention_findings(results: Sequence[RowResult], *, spec: Spec) -> Iterator[Finding]:
    """Report abstentions on texts that are no right answer: they are not scored low, but left out of training."""
    kinds = {name: kind for name, (kind, _) in probe_labels(spec).items()}
    wrong = [t for result in results for t in result.outcomes if kinds[t.probe.name] is not Kind.RIGHT]
    abstained = [outcome for outcome in wrong if outcome.record.status is ScoreStatus.ABSTAIN]
    if abstained:
        message = (
            f"The verifier abstained on {len(abstained)} of {len(wrong)} texts that are no right answer "
            f"({_names(abstained, spec=spec)}). Training leaves such completions out, so it does not learn that they "
            "are wrong."
        )
        yield Finding("abstained", Level.WARN if _most(abstained, wrong) else Level.PASS, message)


def _abstained(results: Sequence[RowResult]) -> list[Outcome]:
    return [t for result in results for t in result.outcomes if t.record.status is ScoreStatus.ABSTAIN]


def _calls(results: Sequence[RowResult]) -> int:
    return sum(len(result.outcomes) for result in results)


def _names(outcomes: Sequence[Outcome], *, spec: Spec) -> str:
    """Name the first kinds of text, those that are no right answer before the others."""
    present = {outcome.probe.name for outcome in outcomes}
    known = sorted(probe_labels(spec).items(), key=lambda item: item[1][0] is Kind.RIGHT)
    labels = [label for name, (_, label) in known if name in present]
    return ", ".join(labels[:3]) + (", …" if len(labels) > 3 else "")


def _hopeless(short: Sequence[RowResult], able: Sequence[RowResult], *, marks: Marks) -> bool:
    """Return whether most right answers fail; with an unknown range they need only score above nonsense."""
    if marks.known:
        return True
    nonsense = ("empty", "blank", "noise", *OTHER_ANSWERS)
    failed = [
        result
        for result in short
        if result.best_right is None or result.best_right <= max(result.scores(*nonsense), default=marks.floor) + SAME
    ]
    return _most(failed, able)


_MESSAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "empty_full": (("empty",), "Empty text"),
    "blank_full": (("blank",), "Blank text"),
    "noise_full": (("noise",), "Noise"),
    "other_answer_full": (OTHER_ANSWERS, "Another row's answer"),
    "other_in_words_full": (OTHERS_IN_WORDS, "Another row's answer, in words such as `Answer: …`,"),
    "question_full": (("question",), "The question, repeated,"),
    "options_full": (("options",), "A line that lists all answers in the data"),
    "options_as_answers_full": (("options_as_answers",), "A list of all answers, each given as an answer,"),
    "denied_full": (("denied",), "A text that denies the right answer and gives a wrong one"),
    "long_full": (("long",), "A very long text without the answer"),
    "injection_full": (("injection",), "A text that instructs the judge to give the highest score"),
}
_ADVICE = {
    "options_full": " A model soon learns to list everything: require a single answer, in one place.",
    "options_as_answers_full": " A model soon learns to list everything: grade only the last answer.",
    "other_in_words_full": " Read the answer, and not the first or last letter of the text.",
    "question_full": " A model may learn to repeat the question.",
}


def _wrong_answer_findings(results: Sequence[RowResult], *, spec: Spec, marks: Marks) -> Iterator[Finding]:
    kinds = {name: kind for name, (kind, _) in probe_labels(spec).items()}
    compares = reads_row(spec)
    for code, (names, text) in _MESSAGES.items():
        able = [result for result in results if result.scores(*names)]
        full = [result for result in able if marks.given_to(result, *names)]
        if not full:
            continue
        if names in (OTHER_ANSWERS, OTHERS_IN_WORDS) and not compares:
            continue  # reported already: only the form is scored
        levels = (Level.WARN, Level.FAIL) if kinds[names[0]] is Kind.WRONG else (Level.PASS, Level.WARN)
        level = levels[_most(full, able)]
        message = f"{text} gets full marks in {_of(full, able)}.{_ADVICE.get(code, '')}"
        yield Finding(code, level, message)


def _time_findings(figures: dict[str, Any]) -> Iterator[Finding]:
    median, most = figures["median_ms"], figures["max_ms"]
    if median is None:
        return
    duration = f"A call takes {median:.3g} ms (median), {most:.3g} ms at most"
    if median >= SLOW_MS:
        message = f"{duration}: scoring 64 completions per step takes {median * 64 / 1000:.0f} s."
        yield Finding("slow", Level.WARN, message)
    else:
        yield Finding("time", Level.PASS, f"{duration}.")


def _figures(results: Sequence[RowResult]) -> dict[str, Any]:
    records = [outcome.record for result in results for outcome in result.outcomes]
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
    """State how many forms were tested; `docs/checks.md` lists them."""
    count = len({t.probe.name for result in results for t in result.outcomes} & FORMS.keys())
    return f"Right answers were tested in {count} forms, from the bare answer to JSON." if count > 1 else ""


def _score_text(record: ScoreRecord | None) -> str:
    assert record is not None
    return record.status.value if record.score is None else f"{record.score:g}"


def _in_a_line(reason: str) -> str:
    return " ".join(reason.split())[:300]
