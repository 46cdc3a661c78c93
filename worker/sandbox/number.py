"""Inside: the `number` grader. The last number of the text against the reference's, within a tolerance."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from backend.verifiers.numerals import EXACT, DecimalMark, Numeral, numerals, plain
from worker.sandbox.scorers import GradeError, Scored, Scorer, require_reference

SPACES = " \u00a0\u202f"
MAX_UNIT_DISTANCE = 40
"""Characters around a number in which its unit is looked for."""


class _Reading(NamedTuple):
    value: Decimal
    unit: str | None
    written: str


def number(program: Mapping[str, Any]) -> Scorer:
    absolute, relative = (EXACT.create_decimal(repr(width)) for width in program["tolerances"])
    read = reader(program)

    def score(text: str, reference: str | None) -> Scored:
        right = read(require_reference(reference))
        if right is None or not right.value.is_finite():
            raise GradeError(f"the reference '{reference:.80}' contains no number")
        answer = read(text)
        if answer is None:
            return Scored(0.0, "the text contains no number")
        if right.unit is not None and answer.unit is None:
            return Scored(0.0, f"{answer.written} has no unit; the reference is in {right.unit}")
        width = max(absolute, EXACT.multiply(relative, EXACT.abs(right.value)))
        near = answer.value.is_finite() and EXACT.abs(EXACT.subtract(answer.value, right.value)) <= width
        return Scored(float(near), None if near else _difference(answer, right))

    return score


def reader(program: Mapping[str, Any]) -> Callable[[str], _Reading | None]:
    """Return a function that reads a text: its last number with a unit, else its last number."""
    units: dict[str, float] = program["units"]
    mark: DecimalMark = program["decimal_mark"]
    by_length = sorted(units, key=len, reverse=True)

    def read(text: str) -> _Reading | None:
        text = plain(text)
        found = [_with_unit(numeral, text, by_length) for numeral in numerals(text, decimal_mark=mark)]
        if not found:
            return None
        last = next((one for one in reversed(found) if one.unit is not None), found[-1])
        factor = Decimal(1) if last.unit is None else EXACT.create_decimal(repr(units[last.unit]))
        return last._replace(value=EXACT.multiply(last.value, factor))

    return read


def _difference(answer: _Reading, right: _Reading) -> str:
    return f"read {shown(answer.value)} from '{answer.written}'; the reference is {shown(right.value)}"


def shown(value: Decimal) -> str:
    """Write a number without exponent or trailing zeros, unless that is too long."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text if len(text) <= 40 else f"{value:.6e}"


def _with_unit(numeral: Numeral, text: str, units: Sequence[str]) -> _Reading:
    """Find the unit. Right after the digits it replaces a scale (`5 M` if `M` is a unit); else it follows the scale."""
    before = text[max(0, numeral.start - MAX_UNIT_DISTANCE) : numeral.start].rstrip(SPACES)
    for value, end in ((numeral.unscaled, numeral.digits_end), (numeral.value, numeral.end)):
        after = text[end : end + MAX_UNIT_DISTANCE].lstrip(SPACES)
        for unit in units:
            if after.startswith(unit) and not (unit[-1].isalpha() and after[len(unit) :][:1].isalpha()):
                return _Reading(value, unit, f"{numeral.written[:40]} {unit}")
    for unit in units:
        if before.endswith(unit) and not (unit[0].isalpha() and before[: -len(unit)][-1:].isalpha()):
            return _Reading(numeral.value, unit, f"{numeral.written[:40]} {unit}")
    return _Reading(numeral.value, None, numeral.written[:40])
