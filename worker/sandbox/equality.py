r"""Inside: when two expressions are equal: what needs no mathematics, percents, unions, and numbers of any size.

math-verify compares to a fixed number of decimals: to it, 1.6 × 10^-19 equals 9.1 × 10^-31. Numbers written with
decimals are therefore compared exactly, and what it takes for equal must also agree relatively.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from worker.sandbox.intervals import all_but, as_chain, as_union
from worker.sandbox.measures import are_other_measures

NEAR = 5e-4
"""Relative difference of equal numbers, one of which may be rounded: four significant digits."""
MAX_POWER = 1000
_NO_SPACE = re.compile(r"(?<!\d)\s|\s(?!\d)")
_DIGITS = r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)?(?:\.\d+)?"
_DECIMAL = re.compile(
    rf"(?P<minus>-?)\s?(?P<digits>{_DIGITS})"
    r"(?:(?:\s?\\(?:times|cdot)\s?|(?<![\d.]))(?P<ten>10)\s?\^\s?\{?(?P<power>[-+]?\d{1,4})\}?)?"
)
_INTERVAL = re.compile(r"[(\[][^,]{1,99},[^,]{1,99}[)\]]")
_INEQUALITY = re.compile(r"[<>]|\\[lg]eq?(?:slant)?(?![a-z])")
_TIME = re.compile(r"0?(?P<time>\d{1,2}:\d\d)\s?(?:(?P<half>[ap])\.?\s?m\.?)?", re.I)
_PERCENT = re.compile(r"([^%]{1,200}?)\s?\\%")
_MIXED = re.compile(r"(?<![\d.}])(\d{1,9})\s?\\frac\s?(?:\{(\d{1,9})\}|(\d))\s?(?:\{(\d{1,9})\}|(\d))")


class Stated(NamedTuple):
    """What a text states: an expression in LaTeX with the unit after it, if there is one; and its words."""

    latex: str = ""
    unit: str = ""
    words: str = ""


Verify = Callable[[str, str], tuple[bool, Sequence[Any]]]
"""Whether math-verify takes two expressions for equal, and what they are parsed to."""


def equal(right: Stated, answer: Stated, *, verify: Verify) -> bool:
    """Return whether an answer is the right one."""
    decided = _same(right, answer)
    if decided is not None:
        return decided
    pairs = _without_percent(right.latex, answer.latex)
    return any(_equal(*pair, verify=verify) for pair in pairs)


def _same(right: Stated, answer: Stated) -> bool | None:
    """Decide what needs no mathematics; None if it does."""
    if not (right.latex and answer.latex):
        return bool(right.words) and right.words == answer.words
    if are_other_measures(right.unit, answer.unit) or _other_kind(_kind(right.latex), _kind(answer.latex)):
        return False
    if _INEQUALITY.search(right.latex) and _kind(answer.latex) == "list" and not _INEQUALITY.search(answer.latex):
        return False
    if _NO_SPACE.sub("", right.latex) == _NO_SPACE.sub("", answer.latex):
        return True
    time = _TIME.fullmatch(f"{right.latex} {right.unit}".strip())
    if time and ":" in answer.latex:  # math-verify takes it for a ratio
        other = _TIME.fullmatch(f"{answer.latex} {answer.unit}".strip())
        return other is not None and other["time"] == time["time"] and _alike(time["half"], other["half"])
    return None


def _alike(half: str | None, other: str | None) -> bool:
    """Return whether the halves of the day, `a` or `p`, do not differ. One may be left out."""
    return half is None or other is None or half.casefold() == other.casefold()


def _other_kind(right: str, answer: str) -> bool:
    """Return whether a point is compared with a set, or with solutions that are only listed."""
    return {right, answer} == {"set", "point"} or (right, answer) == ("list", "point")


def _kind(latex: str) -> str:
    depth, commas, closed = 0, 0, []
    for place, letter in enumerate(latex):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(letter, 0)
        commas += letter == "," and depth == 1
        if letter == "," and depth == 0:
            return "list"
        if depth == 0 and letter in ")]}":
            closed.append(place)
    if not commas or closed != [len(latex) - 1]:
        return ""
    return {"(": "point", "\\": "set"}.get(latex[0], "")


def _without_percent(right: str, answer: str) -> list[tuple[str, str]]:
    r"""Return the pairs one of which must be equal: `75\%` is both 75 and 0.75, unless the other one is a percent."""
    bodies = [_PERCENT.fullmatch(side) for side in (right, answer)]
    if bodies == [None, None]:
        return [(right, answer)]
    sides = [[body[1]] if body else [side] for side, body in zip((right, answer), bodies, strict=True)]
    for side in sides:
        side[0] = _MIXED.sub(_improper, side[0])
    for side, body, other in zip(sides, bodies, reversed(bodies), strict=True):
        if body and not other and not re.search("[=,<>]", side[0].replace("{,}", "")):
            side.append(rf"\frac{{{side[0]}}}{{100}}")
    return [(one, other) for one in sides[0] for other in sides[1]]


def _improper(found: re.Match[str]) -> str:
    top, bottom = int(found[2] or found[3]), int(found[4] or found[5])
    return rf"\frac{{{int(found[1]) * bottom + top}}}{{{bottom}}}"


def _equal(right: str, answer: str, *, verify: Verify) -> bool:
    numbers = [_decimal(side) for side in (right, answer)]
    if None not in numbers:
        return numbers[0] == numbers[1]
    right, answer = (as_chain(side) or as_union(side) or side for side in (right, answer))
    if r"\cup" in right + answer:
        right, answer = (all_but(side) or side for side in (right, answer))
    if _INTERVAL.fullmatch(right) and _INEQUALITY.search(answer):
        right, answer = answer, right  # math-verify reads the first side's `(1, 2)` as a point
    is_equal, sides = verify(right, answer)
    return is_equal and (r"\%" in right + answer or not _are_far_apart(*sides))


def _decimal(latex: str) -> Fraction | None:
    """Return the value of a number with decimals, a power of ten, or both; of a hundredth of one, too."""
    hundredth = re.fullmatch(r"\\frac\{([^{}]*)\}\{100\}", latex)
    found = _DECIMAL.fullmatch(hundredth[1] if hundredth else latex.strip())
    if found is None or not (found["digits"] or found["ten"]) or abs(int(found["power"] or 0)) > MAX_POWER:
        return None
    value = Fraction(found["digits"].replace(",", "") or 1) * Fraction(10) ** int(found["power"] or 0)
    return (-value if found["minus"] else value) / (100 if hundredth else 1)


def _are_far_apart(right: Any, answer: Any) -> bool:
    """Return whether the numbers of two parsed expressions differ by more than rounding does."""
    values = [_numbers(side) for side in (right, answer)]
    if values[0] is None or values[1] is None or len(values[0]) != len(values[1]):
        return False
    ordered = (sorted(side, key=lambda value: value.as_real_imag()) for side in values if side is not None)
    return any(
        one and other and abs(one - other) > NEAR * max(abs(one), abs(other))
        for one, other in zip(*ordered, strict=True)
    )


def _numbers(side: Any) -> list[Any] | None:
    """Return the finite numbers of a parsed expression, each variable at some value; None if it is not made of them."""
    from sympy import Expr, MatrixBase, Set, Symbol, Tuple, oo
    from sympy.core.relational import Relational
    from sympy.logic.boolalg import BooleanAtom, BooleanFunction

    if isinstance(side, Relational):
        return _numbers(side.rhs) if isinstance(side.lhs, Symbol) else None
    if isinstance(side, MatrixBase):
        return _together(side.flat())
    if isinstance(side, Set | Tuple | BooleanFunction):
        return _together(part for part in side.args if not isinstance(part, BooleanAtom))
    if not isinstance(side, Expr):
        return None
    values = {symbol: 1.3 + 0.37 * place for place, symbol in enumerate(sorted(side.free_symbols, key=str))}
    try:
        value = side.subs(values).evalf()  # not a number of Python's, to which 1/2004! is 0
        is_known = value.is_finite and all(part.is_Number for part in value.as_real_imag())
    except (TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError):
        return None
    if value in (oo, -oo):
        return []
    return [value] if is_known else None


def _together(parts: Iterable[Any]) -> list[Any] | None:
    numbers = [_numbers(part) for part in parts]
    return None if None in numbers else [value for part in numbers if part for value in part]
