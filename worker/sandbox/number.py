"""Inside: the `number` grader. The last number of the text against the reference's, within a tolerance."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from backend.verifiers.notation import plain
from backend.verifiers.numerals import DecimalMark, Numeral
from worker.sandbox.marked import JOINT, after_hashes, answer_of, boxed_values
from worker.sandbox.meant import PERCENT, meant
from worker.sandbox.number_words import in_digits
from worker.sandbox.scorers import GradeError, Scored, Scorer, require_reference

_BETWEEN = r"[ *_`$})]{0,8}"
"""What may stand between a number and its unit: `**5** km`, `$5$ km`."""
_GOES_ON = (
    r"(?:\d|\^|\s?/\s?\w|\s?×\s?[A-Za-z]|\s(?:per|pro|par)\b|\s[A-Za-z]{1,3}\^"
    r"|\s(?:[cdkm]?m|[shKNJW]|Pa|Hz|mol|min)(?!\w)|-[1-6](?!\d|[.,]\d|\s?[A-Za-z%]))"
)
"""What makes another unit of the one before it: `m^2`, `km/h`, `kg m`, `s-1`."""
_JOINT = re.compile(r"(?:\s|,|and|und|et){1,6}")
"""What stands between the parts of `2 h 30 min`."""
_UNIT_AFTER = re.compile(r"[^\d.,;:!?\n]{0,40}")
_AMOUNT = r"[$€£¥₹]\s?[\d.,' ]+"
_ACCOUNTING = re.compile(rf"\s*(?:\(\s?({_AMOUNT})\)|([$€£¥₹]\s?)\(([\d.,' ]+)\))\s*")
_CONCLUDES = re.compile(r"[=≈]|\banswer\b", re.I)
"""What the last number of a reference with several follows."""
_SAID = re.compile(r"[=≈→⇒]|(?<![^\W\d_])(?!(?:and|or)\b)[^\W\d_]")
"""What says something about the numbers next to it."""
_ROUGHLY = r"(?:≈|~|\\approx(?![A-Za-z])|(?:approximately|approx\.?|about|roughly)(?![A-Za-z]))"
_ROUNDED = re.compile(rf"[\s$*]{{0,4}}(?:\(\s?(?:or\s)?|,?\s?(?:or|which is)\s)?{_ROUGHLY}[\s$~]{{0,4}}", re.I)
_AS_PERCENT = re.compile(
    rf"[\s$*]{{0,4}}(?:=|\(\s?|{_ROUGHLY}|,?\s?(?:or|i\.e\.,?|that is,?|which is)\s)\s?{_ROUGHLY}?[\s$~]{{0,4}}", re.I
)
"""What stands between a number and the same one rounded, or in percent: `7/3 (about 2.33)`, `1/4 = 25%`."""
_IN_PARENTHESES = re.compile(r"\s*\(\s?[\d.,' ]+\)\s*")
_BULLET = re.compile(r"\A\s*-\s+(?=[\d.$€£¥₹])")


class _Reading(NamedTuple):
    """A number with its unit. `start`: of the digits; `end`: where the unit ends; `value` is in the common unit."""

    value: Fraction | None
    unit: str | None
    written: str
    start: int
    end: int
    trailing: bool = False


def number(program: Mapping[str, Any]) -> Scorer:
    absolute, relative = (_exact(width) for width in program["tolerances"])
    readings, mark = _readings(program), program["decimal_mark"]
    read_reference = lru_cache(maxsize=256)(reference_reader(program))

    def score(text: str, reference: str | None) -> Scored:
        right, unit, _ = read_reference(require_reference(reference))
        marked, is_marked = _marked(text)
        said = _alone(marked) if is_marked else _unfolded(plain(marked))
        found = list(readings(said, mark))
        if not found:
            return Scored(0.0, "the text contains no number")
        exact = _exact_form(said, found)
        if (exact is None and _is_a_list(said, found)) or (is_marked and said.rstrip().endswith("!")):
            return Scored(0.0, f"'{said:.80}' is no single number")
        answer = _last(found)
        if unit is not None and answer.unit is None:
            return Scored(0.0, f"{answer.written} has no unit; the reference is in {unit}")
        if answer.value is None:
            return Scored(0.0, f"'{answer.written}' is no single number in a known unit")
        values = (answer.value, answer.value if exact is None else exact)
        near = any(abs(value - right) <= max(absolute, relative * abs(right)) for value in values)
        return Scored(float(near), None if near else _difference(answer, right))

    return score


class ReadNumber(NamedTuple):
    """The number of a reference, in the common unit, and the text that it was taken from."""

    value: Fraction
    unit: str | None
    written: str


def reference_reader(program: Mapping[str, Any]) -> Callable[[str], ReadNumber]:
    """Return a function that reads a reference; it raises GradeError for one that is not a single number."""
    readings, mark = _readings(program), program["decimal_mark"]

    def read(reference: str) -> ReadNumber:
        marked, is_marked = _marked(reference)
        text = _alone(marked)
        found = list(readings(text, mark))
        _require_one_number(text, found, reference, is_marked=is_marked)
        right = _last(found)
        if right.value is None:
            what = f"has the unit '{right.unit}', which is not in `units`" if right.unit else "is more than one number"
            raise GradeError(f"the reference '{reference:.80}' {what}")
        return ReadNumber(right.value, right.unit, right.written)

    return read


def _readings(program: Mapping[str, Any]) -> Callable[[str, DecimalMark], Iterator[_Reading]]:
    return _Units({plain(unit): _simple(factor) for unit, factor in program["units"].items()}).readings


def _simple(factor: float) -> Fraction:
    """Return the fraction that a factor is written for, such as 1/60: no decimal number is equal to it."""
    simple = Fraction(factor).limit_denominator(1_000_000)
    return simple if float(simple) == factor else _exact(factor)


def _exact(number: float) -> Fraction:
    return Fraction(repr(number))


def _marked(text: str) -> tuple[str, bool]:
    r"""Return what the text marks as its answer (`<answer>`, `\boxed{}` with its unit, `####`) or all, and which."""
    said, is_tagged = answer_of(text)
    said = in_digits(said)
    found = boxed_values(said)
    if found:
        start, content, end = found[-1]
        if len(found) > 1 and JOINT.fullmatch(said, found[-2][2], start) and found[-2][1] != content:
            content = f"{found[-2][1]}, {content}"
        unit = _UNIT_AFTER.match(said, end)
        return in_digits(content + (unit[0] if unit else "")), True
    hashes = after_hashes(said)
    return (in_digits(hashes), True) if hashes else (said, is_tagged)


def _alone(text: str) -> str:
    """Write a number that stands alone, where `- 5` is no bullet."""
    return _unfolded(_BULLET.sub("-", plain(text), count=1))


def _unfolded(text: str) -> str:
    """Write a text that is nothing but an amount in parentheses with its minus, as accountants mean it."""
    found = _ACCOUNTING.fullmatch(text) if len(text) <= 80 else None
    return text if found is None else "-" + (found[1] or found[2] + found[3])


def _require_one_number(text: str, found: list[_Reading], reference: str, *, is_marked: bool) -> None:
    if not found:
        raise GradeError(f"the reference '{reference:.80}' contains no number")
    if _IN_PARENTHESES.fullmatch(text):
        raise GradeError(
            f"the reference '{reference:.80}' may mean a minus: write it with its sign, without parentheses"
        )
    if _is_a_list(text, found):
        raise GradeError(f"the reference '{reference:.80}' is several numbers, not one: compare it with `math`")
    if len(found) > 1 and not is_marked and not _CONCLUDES.search(text):
        raise GradeError(f"the reference '{reference:.80}' has several numbers: write the one that is meant alone")


def _is_a_list(text: str, found: list[_Reading]) -> bool:
    """Return whether a text is several numbers and nothing else."""
    return len(found) > 1 and not _SAID.search(text)


def _last(found: list[_Reading]) -> _Reading:
    """Return the last number with a unit, else the last number."""
    return next((one for one in reversed(found) if one.unit is not None), found[-1])


def _exact_form(said: str, found: list[_Reading]) -> Fraction | None:
    """Return the value that the last number of a text gives once more, rounded or in percent; None if it does not."""
    if len(found) < 2 or found[-1] is not _last(found):
        return None
    exact, last = found[-2].value, found[-1]
    if exact is None or last.value is None or last.unit != found[-2].unit:
        return exact if exact == last.value else None
    between = said[found[-2].end : last.start][:48]
    if PERCENT.match(said, last.end) and not PERCENT.match(between):
        joined, again = _AS_PERCENT, exact * 100
    else:
        joined, again = _ROUNDED, exact
    digits = re.search(r"[.,](\d{1,20})\b", last.written)
    half = Fraction(1, 2 * 10 ** len(digits[1])) if digits else Fraction(1, 2)
    return exact if joined.fullmatch(between) and abs(again - last.value) <= half else None


def _difference(answer: _Reading, right: Fraction) -> str:
    assert answer.value is not None
    return f"read {shown(answer.value)} from '{answer.written}'; the reference is {shown(right)}"


def shown(value: Fraction) -> str:
    """Write a number without exponent or trailing zeros, unless that is too long."""
    decimal = Context(prec=30, traps=[]).divide(Decimal(value.numerator), Decimal(value.denominator))
    text = f"{decimal:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text if len(text) <= 40 else f"{decimal:.6e}"


class _Units:
    """Reads the numbers of `plain` texts in these units, each with its factor."""

    def __init__(self, factors: Mapping[str, Fraction]) -> None:
        one_of = "|".join(re.escape(unit) for unit in sorted(factors, key=len, reverse=True)) or r"(?!)"
        letters = "(?:(?<![A-Za-z])|(?![A-Za-z]))"
        self._factors = factors
        self._after = re.compile(rf"{_BETWEEN}(?P<unit>{one_of}){letters}(?P<more>{_GOES_ON}[^\s,;]{{0,20}})?")
        self._before = re.compile(rf"(?<!\d)(?<!\d ){letters}(?P<unit>{one_of})[ *_`$({{:\-]{{0,4}}(?=[.,]?\d)")

    def readings(self, text: str, mark: DecimalMark) -> Iterator[_Reading]:
        leading = {found.end(): found["unit"] for found in self._before.finditer(text)}
        last: _Reading | None = None
        for numeral in meant(text, mark, unit=self._after):
            one = self._with_unit(numeral, text, leading.get(numeral.start))
            if last is not None and self._continues(last, one, text[last.end : min(numeral.start, last.end + 9)]):
                assert last.value is not None
                assert one.value is not None
                value = last.value + (one.value if last.value >= 0 else -one.value)
                one = one._replace(value=value, written=f"{last.written} {one.written}"[:80])
            elif last is not None:
                yield last
            last = one
        if last is not None:
            yield last

    def _with_unit(self, numeral: Numeral, text: str, leading: str | None) -> _Reading:
        """Right after the digits a unit replaces a scale (`5 M` if `M` is a unit); else it follows the scale."""
        for value, end in ((numeral.unscaled, numeral.digits_end), (numeral.value, numeral.end)):
            found = self._after.match(text, end)
            if found is not None:
                unit, other = found["unit"], found["more"] or ""
                known = None if other or value is None else value * self._factors[unit]
                return _Reading(
                    known,
                    unit + other,
                    f"{numeral.written[:40]} {unit}{other}",
                    numeral.start,
                    found.end(),
                    trailing=True,
                )
        if leading is None or numeral.value is None:
            return _Reading(numeral.value, leading, numeral.written[:40], numeral.start, numeral.end)
        value = numeral.value * self._factors[leading]
        return _Reading(value, leading, f"{numeral.written[:40]} {leading}", numeral.start, numeral.end)

    def _continues(self, last: _Reading, one: _Reading, between: str) -> bool:
        """Return whether a number goes on with a smaller unit, as in `2 h 30 min`."""
        if last.value is None or one.value is None or not (last.trailing and one.trailing):
            return False
        smaller = self._factors[str(one.unit)] < self._factors[str(last.unit)]
        return smaller and one.value >= 0 and _JOINT.fullmatch(between) is not None
