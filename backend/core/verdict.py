"""The common result of checks before training: a verdict, a summary sentence, and the findings behind it. Pure.

`{"verdict": "pass" | "warn" | "fail", "summary", "findings": [{"code", "level", "message", "remedies"}], ...details}`
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from backend.core.storable import storable


class Level(StrEnum):
    """Severity of a finding."""

    PASS = "pass"  # noqa: S105 - no password
    """As expected."""
    WARN = "warn"
    """Should be looked into; training may start."""
    FAIL = "fail"
    """Training would be useless."""


MAX_CHARS = 300
LINE_CHARS = 80
SEVERITY = tuple(Level)
"""Levels in ascending order of severity."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What may cure a finding, ready to be tried. `changes`: fields of the same request, with nested ones merged."""

    code: str
    title: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """A single result of a check. `code` is stable and documented; `message` is one or two sentences for people."""

    code: str
    level: Level
    message: str
    remedies: tuple[Remedy, ...] = ()


def verdict(findings: Sequence[Finding], *, good: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """Build the result, worst findings first. The worst level is the verdict; `good` is the summary of a pass."""
    worst = max((finding.level for finding in findings), key=SEVERITY.index, default=Level.PASS)
    ordered = sorted(findings, key=lambda finding: -SEVERITY.index(finding.level))
    decisive = [finding for finding in ordered if finding.level is worst]
    result: dict[str, Any] = storable(
        {
            "verdict": worst.value,
            "summary": good if worst is Level.PASS else _summary(decisive),
            "findings": [asdict(finding) for finding in ordered],
            **details,
        }
    )
    return result


def with_findings(result: Mapping[str, Any], more: Sequence[Finding]) -> dict[str, Any]:
    """Add findings to a result."""
    found = [
        Finding(
            each["code"],
            Level(each["level"]),
            each["message"],
            tuple(Remedy(**remedy) for remedy in each.get("remedies", ())),
        )
        for each in result["findings"]
    ]
    details = {name: value for name, value in result.items() if name not in ("verdict", "summary", "findings")}
    return verdict([*found, *more], good=result["summary"], details=details)


def verdict_lines(result: Mapping[str, Any]) -> list[str]:
    """Format the result as lines of text for a terminal."""
    lines = [f"  {finding['level']:4}  {finding['message']}" for finding in result["findings"]]
    return [f"{result['verdict']}: {result['summary']}", *lines]


def truncated(text: str, *, end: bool = False) -> str:
    """Truncate to text that can be stored: keep the beginning, or the end, which in a traceback names the error."""
    clean = str(storable(text))
    if len(clean) <= MAX_CHARS:
        return clean
    return "…" + clean[-MAX_CHARS:] if end else clean[:MAX_CHARS] + "…"


def one_line(text: str) -> str:
    """Write a text of a user into a message: in one line, truncated."""
    line = " ".join(truncated(text).split())
    return line if len(line) <= LINE_CHARS else line[:LINE_CHARS] + "…"


def quoted(text: str) -> str:
    return f"`{one_line(text)}`"


def _summary(findings: Sequence[Finding]) -> str:
    more = len(findings) - 1
    first = findings[0].message if findings[0].message.endswith((".", "!", "?")) else f"{findings[0].message}."
    return first + (f" And {more} more finding{'s' if more > 1 else ''}." if more else "")
