"""Wrong answers made from a right one by the smallest step: a digit, a sign, a unit, an element, a word. Pure.

A verifier that gives one of them full marks reads only a part of the answer, or reads it wrongly. Each differs from
the right answer in value, whatever the verifier reads; a verifier's tolerance is left behind, and at least a tenth. A
number that is nearer says how far it is `off`: it counts only where one nearer still gets no full marks, so that
a tolerance is no reproach and rounding is.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from enum import StrEnum
from fractions import Fraction

from backend.verifiers.dates import other_dates
from backend.verifiers.notation import plain
from backend.verifiers.numerals import DecimalMark, Numeral, numerals
from backend.verifiers.reference_forms import (
    MAX_CHARS,
    UNITS,
    NumberForm,
    Span,
    elements,
    is_mathematical,
    number_form,
    unwrapped,
)

MAX_ALTERATIONS = 10
"""Altered texts of one reference."""
FAR = Fraction(1, 10)
"""Share of a number by which an altered one differs at least: verifiers of unknown tolerance accept less."""
MAX_WRITTEN_DIGITS = 15
STEPS = (Fraction(1, 2), Fraction(-1, 2), Fraction(2, 5), Fraction(-2, 5))
"""Added to decimals: to which whole number they round depends on the side, not on how far they are."""
SMALL = Fraction(1, 20)
"""Share of a whole number, besides 1, by which another one is a number nearby."""
_OPPOSITES = (("yes", "no"), ("true", "false"))
_CHOICE = re.compile(r"[\s(\[*]*(?P<name>[^()\[\]*]+?)[\s)\].*]*")
_EITHER_SIGN = re.compile(r"±|\\pm|\||\\mp")
_ORDINALS = ("st", "nd", "rd", "th")
_WORDS = re.compile(r"(?=.*[^\W\d_]{3})(?P<first>[^\W\d_][^\W\d_'’-]+) +(?P<rest>[^\W\d_]+(?:[ '’-]+[^\W\d_]+)*\.?)")
"""An answer of several words, without what may separate alternatives or begin an explanation: `,`, `(`, `/`, `:`."""
_ONE_WORD = re.compile(r"[^\W\d_]{5,}")
"""An answer of one word, long enough that a fifth of its letters is at least one."""
_BEGIN = 3
"""First letters that two words that begin alike have in common."""
_ENDING = 2
"""Letters at the end in which forms of one word may differ."""
_NO_PART = frozenset(("a", "an", "the", "yes", "no", "true", "false"))
"""First words of which the rest or the word alone may be as right as the whole."""


class Change(StrEnum):
    """What an altered answer differs in."""

    DIGIT = "digit"
    SIGN = "sign"
    FACTOR = "factor"
    UNIT = "unit"
    CHOICE = "choice"
    PART = "part"
    ELEMENT = "element"
    DATE = "date"
    NEAR = "near"
    WORD = "word"


CHANGES: Mapping[Change, str] = {
    Change.DIGIT: "another digit",
    Change.SIGN: "the other sign",
    Change.FACTOR: "1000 times as much or as little",
    Change.UNIT: "another unit",
    Change.CHOICE: "another choice",
    Change.PART: "a part of it alone",
    Change.ELEMENT: "an element dropped",
    Change.DATE: "another day, month, year or time",
    Change.NEAR: "a number nearby, as by rounding",
    Change.WORD: "words of another answer, or a word that begins alike",
}
"""Each change in words."""


@dataclass(frozen=True, slots=True)
class Alteration:
    """A wrong answer. `off`: by how much, if a tolerance that is not known may accept it."""

    change: Change
    text: str
    off: Fraction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What makes two answers different ones. `tolerance`: (absolute, relative), as in the spec of `number`.

    `units`: each unit and others of its kind; `factors`: the value of a unit, where known; `choices`: the names of
    which one is right; `references`: those of all rows.
    """

    decimal_mark: DecimalMark = "."
    tolerance: tuple[float, float] = (0.0, 0.0)
    units: Mapping[str, Sequence[str]]
    factors: Mapping[str, float]
    choices: Sequence[str] = ()
    references: Sequence[str] = ()

    def is_far(self, value: Fraction, from_value: Fraction, *, factor: Fraction) -> bool:
        """Return whether two values, in a unit of this factor, are different answers."""
        absolute, relative = (Fraction(repr(width)) for width in self.tolerance)
        width = max(absolute, max(relative, FAR) * abs(from_value * factor))
        return abs((value - from_value) * factor) > width

    def factor_of(self, unit: str) -> Fraction:
        return Fraction(repr(self.factors.get(unit, 1.0)))


COMMON = Scale(units=UNITS, factors={})


def alterations(reference: str, *, scale: Scale = COMMON, seed: int) -> list[Alteration]:
    """Return altered, wrong answers of a reference of a known form; nothing for any other text."""
    if len(reference) > MAX_CHARS:
        return []
    chance = random.Random(f"{seed} {reference}")  # noqa: S311 - no secret
    before, inner, after = unwrapped(reference.strip())
    text = plain(inner).strip()
    form = number_form(text, decimal_mark=scale.decimal_mark, units=scale.units)
    found = list(_another_choice(text, choices=scale.choices, chance=chance))
    found = found or [Alteration(Change.DATE, date) for date in other_dates(text)]
    if not found:
        of_form = _of_expression(text, scale=scale, chance=chance)
        found = list(of_form if form is None else _of_number(text, form, scale=scale, chance=chance))
        found = found or list(_of_words(text, references=scale.references, chance=chance))
        found = found or list(_of_one_word(text, references=scale.references, chance=chance))
    first = {each.text.casefold(): each for each in reversed(found) if each.text.casefold() != text.casefold()}
    kept = [each for each in found if first.get(each.text.casefold()) is each][:MAX_ALTERATIONS]
    return [replace(each, text=f"{before}{each.text}{after}") for each in kept]


def _another_choice(text: str, *, choices: Sequence[str], chance: random.Random) -> Iterator[Alteration]:
    found = _CHOICE.fullmatch(text)
    if found is None:
        return
    for names in (choices, *_OPPOSITES):
        others = [name for name in names if name.casefold() != found["name"].casefold()]
        if others and len(others) < len(names):
            yield Alteration(Change.CHOICE, _replaced(text, found.span("name"), chance.choice(others)))
            return


def _of_number(text: str, form: NumberForm, *, scale: Scale, chance: random.Random) -> Iterator[Alteration]:
    numeral, unit = form.numeral, "" if form.unit_at is None else text[slice(*form.unit_at)]
    right, factor = numeral.value, scale.factor_of(unit)
    yield from _another_digit(text, numeral, scale=scale, factor=factor, chance=chance)
    if not right:
        return
    written = [(Change.SIGN, _other_sign(text, numeral, is_positive=right > 0), -right)]
    written += [
        (Change.FACTOR, _with_value(text, numeral, value, mark=scale.decimal_mark), value)
        for value in (right * 1000, right / 1000)
    ]
    for change, altered, value in written:
        as_meant = altered is not None and _change(text, altered, scale=scale) == (right, value)
        if altered is not None and as_meant and scale.is_far(value, right, factor=factor):
            yield Alteration(change, altered)
    if form.unit_at is not None:
        yield from _another_unit(text, right, form.unit_at, scale=scale, chance=chance)
    if right == numeral.unscaled:
        yield from _near(text, numeral, right, scale=scale, factor=factor)


def _near(text: str, numeral: Numeral, right: Fraction, *, scale: Scale, factor: Fraction) -> Iterator[Alteration]:
    """Add steps to a number, as long as it keeps its sign; only far ones where the tolerance is known.

    Where it is not, it may accept any whole number nearby, and decimals that are less than a tenth apart.
    """
    is_whole = right.denominator == 1
    decimal_steps = STEPS if scale.decimal_mark in text[numeral.start : numeral.digits_end] else ()
    for step in (Fraction(1), Fraction(-round(abs(right) * SMALL))) if is_whole else decimal_steps:
        value = right + step
        altered = _with_value(text, numeral, value, mark=scale.decimal_mark) if value * right > 0 else None
        if altered is not None and _change(text, altered, scale=scale) == (right, value):
            is_far = scale.is_far(value, right, factor=factor)
            if is_far and (any(scale.tolerance) or not is_whole):
                yield Alteration(Change.NEAR, altered)
            elif not any(scale.tolerance):
                yield Alteration(Change.NEAR, altered, off=abs(step))


def _of_words(text: str, *, references: Sequence[str], chance: random.Random) -> Iterator[Alteration]:
    """Yield the first word alone, it with the other words of another answer, and another first word with these.

    An answer that begins alike is taken first. Others with a word in common may mean the same and are left out.
    """
    found = _WORDS.fullmatch(text)
    if found is None or found["first"].casefold() in _NO_PART:
        return
    first, rest = found["first"], found["rest"]
    yield Alteration(Change.PART, first)
    others = [other for each in references if (other := _WORDS.fullmatch(plain(each).strip())) is not None]
    others = [other for other in others if not _words(other["rest"]) & _words(text)]
    alike = [other for other in others if other["first"].casefold() == first.casefold()]
    strange = [other for other in others if other["first"].casefold() not in _NO_PART | _words(text)]
    if alike or strange:
        yield Alteration(Change.WORD, f"{first} {chance.choice(alike or strange)['rest']}")
    if strange:
        yield Alteration(Change.WORD, f"{chance.choice(strange)['first']} {rest}")


def _of_one_word(text: str, *, references: Sequence[str], chance: random.Random) -> Iterator[Alteration]:
    """Yield the first half of the word, another answer that begins alike, and the word with another end."""
    if not _ONE_WORD.fullmatch(text):
        return
    yield Alteration(Change.PART, text[: (len(text) + 1) // 2])
    others = {other for each in references if _ONE_WORD.fullmatch(other := plain(each).strip())}
    alike = sorted(other for other in others if _begin_alike(other.casefold(), text.casefold()))
    if alike:
        yield Alteration(Change.WORD, chance.choice(alike))
    kept = len(text) - len(text) // 5
    yield Alteration(Change.WORD, text[:kept] + "".join("x" if letter in "qQ" else "q" for letter in text[kept:]))


def _begin_alike(one: str, other: str) -> bool:
    """Return whether two words begin alike and are not forms of one word."""
    stem = min(len(one), len(other)) - _ENDING
    return one[:_BEGIN] == other[:_BEGIN] and one[:stem] != other[:stem]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _of_expression(text: str, *, scale: Scale, chance: random.Random) -> Iterator[Alteration]:
    """Yield the list without an element, a number of the expression alone, and the expression with another digit."""
    spans = elements(text, decimal_mark=scale.decimal_mark, names=scale.choices)
    parts = [text[slice(*span)].strip().casefold() for span in spans]
    if len(set(parts)) < len(parts):
        return  # without one of two equal elements it may be the same set
    if spans:
        yield Alteration(Change.ELEMENT, text[: spans[-2][1]] + text[spans[-1][1] :])
        yield Alteration(Change.ELEMENT, text[: spans[0][0]] + text[spans[1][0] :])
    found = list(numerals(text, decimal_mark=scale.decimal_mark)) if is_mathematical(text) else []
    ends = [found[-1], found[0]] if len(found) > 1 else found
    of_either_sign = _EITHER_SIGN.search(text) is not None
    if not of_either_sign:
        alone = [each.written.lstrip("√π/{( ") for each in ends if spans or not _is_right_side(each, text)]
        whole = text.strip("()[]{} ")  # `3,4` may be the pair `(3,4)` without its brackets
        yield from (Alteration(Change.PART, number) for number in alone if number != whole)
    for numeral in ends[-1:] if of_either_sign else ends:
        yield from _another_digit(text, numeral, scale=scale, factor=Fraction(1), chance=chance)


def _another_digit(
    text: str, numeral: Numeral, *, scale: Scale, factor: Fraction, chance: random.Random
) -> Iterator[Alteration]:
    """Change one of the first two digits that count."""
    digits = [place for place in range(numeral.start, numeral.digits_end) if text[place].isdigit()]
    leading = next((n for n, place in enumerate(digits) if text[place] != "0"), 0)
    changes = [(place, digit) for place in digits[leading : leading + 2] for digit in "123456789"]
    for place, digit in chance.sample(changes, len(changes)):
        altered = _replaced(text, (place, place + 1), digit)
        changed = _change(text, altered, scale=scale)
        if changed is not None and scale.is_far(changed[1], changed[0], factor=factor):
            yield Alteration(Change.DIGIT, altered)
            return


def _other_sign(text: str, numeral: Numeral, *, is_positive: bool) -> str | None:
    """Return the text with the other sign; None where a sign makes no sense."""
    if _EITHER_SIGN.search(text) or text[numeral.end :].startswith(_ORDINALS):
        return None
    before, after = text[: numeral.start], text[numeral.start :]
    if is_positive:
        return f"{before.removesuffix('+')}-{after}"
    at = max(before.rfind(sign) for sign in "-−–")
    return None if at < 0 else before[:at] + before[at + 1 :] + after


def _with_value(text: str, numeral: Numeral, value: Fraction, *, mark: DecimalMark) -> str | None:
    """Return the text with the digits of another value, grouped if they were; None if there are too many."""
    context = Context(prec=MAX_WRITTEN_DIGITS + 1, traps=[])
    decimal = context.divide(Decimal(abs(value.numerator)), Decimal(value.denominator)).normalize(context)
    if not decimal.is_finite() or Fraction(decimal) != abs(value) or len(f"{decimal:f}") > MAX_WRITTEN_DIGITS:
        return None
    group = "," if mark == "." else "."
    grouped = re.search(rf"\d{re.escape(group)}\d", text[numeral.start : numeral.digits_end]) is not None
    digits = f"{decimal:,f}" if grouped else f"{decimal:f}"
    return _replaced(text, (numeral.start, numeral.end), digits.translate(str.maketrans(",.", group + mark)))


def _another_unit(text: str, right: Fraction, at: Span, *, scale: Scale, chance: random.Random) -> Iterator[Alteration]:
    def is_far(other: str) -> bool:
        values = (right * scale.factor_of(name) for name in (other, unit))
        return not scale.factors or scale.is_far(*values, factor=Fraction(1))

    unit = text[slice(*at)]
    far = [other for other in scale.units[unit] if is_far(other)]
    if far:
        yield Alteration(Change.UNIT, _replaced(text, at, chance.choice(far)))


def _is_right_side(numeral: Numeral, text: str) -> bool:
    """Return whether the number is all that stands after the last `=`: it is what the left side equals."""
    left, sign, right = text.rpartition("=")
    return bool(sign) and left[-1:] not in tuple("<>!") and right.strip() == numeral.written


def _change(text: str, altered: str, *, scale: Scale) -> tuple[Fraction, Fraction] | None:
    """Return the value before and after, if exactly one number of the text changed."""
    before, after = (
        [numeral.value for numeral in numerals(each, decimal_mark=scale.decimal_mark)] for each in (text, altered)
    )
    changed = [pair for pair in zip(before, after, strict=False) if pair[0] != pair[1]]
    if len(before) != len(after) or len(changed) != 1:
        return None
    old, new = changed[0]
    return None if old is None or new is None else (old, new)


def _replaced(text: str, span: Span, by: str) -> str:
    return text[: span[0]] + by + text[span[1] :]
