"""A verifier that gives full marks to the worked solution of a row, and to its answer in no form. Pure."""

from collections.abc import Iterator, Sequence

from backend.core.verdict import Finding, Level
from backend.verifiers.probes import FORMS
from backend.verifiers.selfcheck_findings import MOST, Marks, RowResult

SOLUTION = "solution"


def working_findings(results: Sequence[RowResult], *, marks: Marks) -> Iterator[Finding]:
    """Report it where it is so for most rows: a fail where the answer does not occur in the solutions."""
    reached = [result for result in results if marks.reached(result)]
    by_working = [result for result in reached if _full_forms(result, marks=marks) == {SOLUTION}]
    if len(by_working) <= MOST * len(reached):
        return
    without = [result for result in by_working if (result.row.answer or "") not in (result.row.solution or "")]
    where = f"In {len(by_working)} of {len(reached)} rows, only the worked solution gets full marks"
    if len(without) > MOST * len(by_working):
        message = f"{where}, in which the answer does not occur: compare with the answer, not with the working."
        yield Finding("working_only", Level.FAIL, message)
    else:
        message = f"{where}, and the answer in none of the tested forms: a model must guess the form, or the working."
        yield Finding("working_only", Level.WARN, message)


def _full_forms(result: RowResult, *, marks: Marks) -> set[str]:
    return {
        outcome.probe.name
        for outcome in result.outcomes
        if outcome.probe.name in FORMS
        and outcome.record.score is not None
        and marks.is_full(outcome.record.score, of=result)
    }
