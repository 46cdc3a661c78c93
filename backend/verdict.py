"""What checks before training answer: one verdict, a sentence, and the findings it rests on. Pure.

`{"verdict": "pass" | "warn" | "fail", "summary", "findings": [{"code", "level", "message"}], ...details}`
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    PASS = "pass"  # noqa: S105 - no password
    """As it should be."""
    WARN = "warn"
    """Worth a look; training may go on."""
    FAIL = "fail"
    """Training would be wasted."""


SEVERITY = tuple(Level)
"""From the least to the worst."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable and stands in the docs; `message` is one or two sentences for people."""

    code: str
    level: Level
    message: str


def verdict(findings: Sequence[Finding], *, good: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """The common form, the worst findings first: the worst level decides, and `good` sums up where nothing is amiss."""
    worst = max((finding.level for finding in findings), key=SEVERITY.index, default=Level.PASS)
    ordered = sorted(findings, key=lambda finding: -SEVERITY.index(finding.level))
    amiss = [finding for finding in ordered if finding.level is worst]
    return {
        "verdict": worst.value,
        "summary": good if worst is Level.PASS else _summary(amiss),
        "findings": [asdict(finding) for finding in ordered],
        **details,
    }


def told(result: Mapping[str, Any]) -> list[str]:
    """The verdict as lines of text, for a terminal."""
    lines = [f"  {finding['level']:4}  {finding['message']}" for finding in result["findings"]]
    return [f"{result['verdict']}: {result['summary']}", *lines]


def _summary(amiss: Sequence[Finding]) -> str:
    more = len(amiss) - 1
    first = amiss[0].message if amiss[0].message.endswith((".", "!", "?")) else f"{amiss[0].message}."
    return first + (f" And {more} more finding{'s' if more > 1 else ''}." if more else "")
