"""Inside: built-in types without a library: `string_check`, `regex`, `number`, `choice`."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, NamedTuple


class GradeError(Exception):
    """A grading error; its text is the reason in the record."""


class Scored(NamedTuple):
    score: float
    reason: str | None = None


Scorer = Callable[[str, str | None], Scored | float]
"""(input, reference) -> score."""
_NO_REFERENCE = "the row has no reference answer to compare with"


def require_reference(reference: str | None) -> str:
    if reference is None:
        raise GradeError(_NO_REFERENCE)
    return reference


def regex(program: Mapping[str, Any]) -> Scorer:
    search = re.compile(program["pattern"], program["flags"]).search
    group = program["group"]

    def score(text: str, reference: str | None) -> float:
        found = search(text)
        if found is None:
            return 0.0
        if group is None:
            return 1.0
        answer = found[group]
        return float(require_reference(reference).strip() == answer.strip() if answer is not None else False)

    return score


def string_check(program: Mapping[str, Any]) -> Scorer:
    operation = program["operation"]

    def score(text: str, reference: str | None) -> float:
        right = require_reference(reference)
        if operation in ("eq", "ne"):
            return float((text == right) == (operation == "eq"))
        if not right:
            raise GradeError("the reference is empty, and every text contains the empty text")
        if operation == "ilike":
            return float(right.casefold() in text.casefold())
        return float(right in text)

    return score


# -- number -----------------------------------------------------------------------------------------------------------

# A minus belongs to the number unless something stands right before it: 3-4 holds 3 and 4.
_NUMBER = re.compile(r"(?:(?<![\w.)])[-+−])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.?\d+)(?:[eE][-+]?\d{1,4})?|\d+")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[])


class _Quantity(NamedTuple):
    value: Decimal
    unit: str | None
    shown: str


def number(program: Mapping[str, Any]) -> Scorer:
    absolute, relative = (_EXACT.create_decimal(repr(width)) for width in program["tolerances"])
    units: dict[str, float] = program["units"]
    by_length = sorted(units, key=len, reverse=True)

    def read(text: str) -> _Quantity | None:
        """Return the last number with a unit, else the last number."""
        found = [_read(match, text, by_length) for match in _NUMBER.finditer(text)]
        if not found:
            return None
        last = next((one for one in reversed(found) if one.unit is not None), found[-1])
        factor = Decimal(1) if last.unit is None else _EXACT.create_decimal(repr(units[last.unit]))
        return last._replace(value=_EXACT.multiply(last.value, factor))

    def score(text: str, reference: str | None) -> Scored:
        right = read(require_reference(reference))
        if right is None or not right.value.is_finite():
            raise GradeError(f"the reference '{reference:.80}' contains no number")
        found = read(text)
        if found is None:
            return Scored(0.0, "the text contains no number")
        if right.unit is not None and found.unit is None:
            return Scored(0.0, f"{found.shown} has no unit; the reference is in {right.unit}")
        width = max(absolute, _EXACT.multiply(relative, _EXACT.abs(right.value)))
        near = found.value.is_finite() and _EXACT.abs(_EXACT.subtract(found.value, right.value)) <= width
        return Scored(float(near), None if near else f"read {found.shown}")

    return score


def _read(match: re.Match[str], text: str, units: Sequence[str]) -> _Quantity:
    digits = match[0].replace(",", "").replace("−", "-")
    value = _EXACT.create_decimal(digits)
    after = text[match.end() : match.end() + 40].lstrip(" \u00a0\u202f")
    before = text[max(0, match.start() - 40) : match.start()].rstrip(" \u00a0\u202f")
    for unit in units:
        follows = after.startswith(unit) and not (unit[-1].isalpha() and after[len(unit) :][:1].isalpha())
        leads = before.endswith(unit) and not (unit[0].isalpha() and before[: -len(unit)][-1:].isalpha())
        if follows or leads:
            return _Quantity(value, unit, f"{match[0][:40]} {unit}")
    return _Quantity(value, None, match[0][:40])


# -- choice -----------------------------------------------------------------------------------------------------------

_OPEN, _SHUT = r"[\s*_`\"'“‘(\[{]*", r"[\s*_`\"'”’)\]}]*"
_REST = r"(?=[^\w\s]|\s*$|\s*\n|\s+(?:because|since|as|for)\b)"
_ANOTHER = r"(?!\s*(?:,|/|or\b|and\b)\s*[(*\"']*(?:{choices})\b)"


def choice(program: Mapping[str, Any]) -> Scorer:
    find = _finder(program["choices"])

    def score(text: str, reference: str | None) -> Scored:
        right = find(require_reference(reference))
        if right is None:
            raise GradeError(f"the reference '{reference:.80}' is none of the choices")
        found = find(text)
        if found is None:
            return Scored(0.0, "the text states none of the choices as its answer")
        return Scored(float(found == right), f"chose {found}")

    return score


def _finder(choices: Sequence[str]) -> Callable[[str], str | None]:
    """Return a function that finds the choice a text states as its answer, by the clearest form in the text."""
    names = {name.casefold(): name for name in choices}
    one_of = "|".join(re.escape(name) for name in sorted(choices, key=len, reverse=True))
    another = _ANOTHER.replace("{choices}", one_of)
    boxed = re.compile(r"\\boxed\{\s*(?:\\(?:text|mathrm|textbf)\{)?" + _OPEN + f"({one_of})" + _SHUT + r"\}", re.I)
    stated = re.compile(
        r"\b(?:answer|choice|option|selection)\b(?:\s+(?:is|was)\b|\s*[*_]*\s*[:=：])\s*(?:(?:option|choice)\s+)?"
        f"{_OPEN}({one_of})(?!\\w){another}{_SHUT}{_REST}",
        re.I,
    )
    alone = re.compile(f"{_OPEN}({one_of}){_SHUT}[.:!]?{_SHUT}", re.I)
    begins = re.compile(rf"\s*[*_`(\[]*({one_of})[*_`]*[).:\]][*_`)\]]*(?:\s|$)")

    def find(text: str) -> str | None:
        whole = alone.fullmatch(text)
        if whole:
            return names[whole[1].casefold()]
        for pattern in (boxed, stated):
            found = pattern.findall(text)
            if found:
                return names[found[-1].casefold()]
        lines = [line for line in text.splitlines() if line.strip()]
        last = alone.fullmatch(lines[-1]) if lines else None
        if last:
            return names[last[1].casefold()]
        begun = {match[1] for line in lines if (match := begins.match(line))}
        if len(begun) == 1 and begins.match(lines[-1]):
            return names[begun.pop().casefold()]
        return None

    return find
