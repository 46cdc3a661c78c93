"""The common form of a check's result."""

from hypothesis import given
from hypothesis import strategies as st

from backend.core.verdict import SEVERITY, Finding, Level, verdict, verdict_lines, with_findings

FINDINGS = st.lists(st.builds(Finding, code=st.text(min_size=1), level=st.sampled_from(Level), message=st.text()))


@given(FINDINGS)
def test_the_worst_finding_decides_and_comes_first(findings: list[Finding]) -> None:
    found = verdict(findings, good="All is well.", details={"calls": 3})
    levels = [SEVERITY.index(finding["level"]) for finding in found["findings"]]
    assert levels == sorted(levels, reverse=True)
    assert found["verdict"] == (SEVERITY[max(levels)] if levels else "pass")
    assert (found["summary"] == "All is well.") or found["verdict"] != "pass"
    assert found["calls"] == 3
    assert len(verdict_lines(found)) >= 1 + len(findings)


@given(FINDINGS, FINDINGS)
def test_findings_that_are_added_count_like_the_others(first: list[Finding], more: list[Finding]) -> None:
    found = with_findings(verdict(first, good="All is well.", details={"calls": 3}), more)
    assert found == verdict([*first, *more], good="All is well.", details={"calls": 3})


def test_the_summary_has_the_worst_finding_and_the_number_of_others() -> None:
    findings = [
        Finding("slow", Level.WARN, "It is slow."),
        Finding("errors", Level.FAIL, "It breaks."),
        Finding("empty_full", Level.FAIL, "It likes silence."),
    ]
    found = verdict(findings, good="", details={})
    assert found["summary"] == "It breaks. And 1 more finding."
    assert verdict_lines(found)[1:] == ["  fail  It breaks.", "  fail  It likes silence.", "  warn  It is slow."]
