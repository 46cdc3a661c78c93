"""Read numbers as people write them, exactly. Standard library only: the sandbox loads it too.

Grouped digits (`12,000`, `9 500`, `9'500`, `1,00,000`), both decimal marks, signs and currencies (`-$72`), powers and
scientific notation (`10^6`, `2.5 \\times 10^{-3}`, `1e-3`), fractions and mixed numbers (`1/2`, `1 1/2`,
`\\frac{1}{2}`, `1½`), and scales (`12 k`, `3 M`, `2 million`). A mark that could be either (`1,234`) is read by
`decimal_mark`; `guess_decimal_mark` finds the one of a whole column.
"""

import re
from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from typing import Literal, NamedTuple

DecimalMark = Literal[".", ","]

EXACT = Context(prec=1000, rounding=ROUND_HALF_EVEN, traps=[])
MAX_POWER = 400
"""Largest exponent of a written power: `9^9999` has more digits than a score needs."""
SCALES = {
    "k": 3,
    "K": 3,
    "Tsd": 3,
    "M": 6,
    "mln": 6,
    "Mio": 6,
    "B": 9,
    "bn": 9,
    "Mrd": 9,
    **dict.fromkeys(("thousand", "Thousand"), 3),
    **dict.fromkeys(("million", "millions", "Million", "Millionen"), 6),
    **dict.fromkeys(("billion", "billions", "Billion"), 9),
    **dict.fromkeys(("trillion", "trillions", "Trillion"), 12),
}
"""Words that multiply the number before them, each with its power of ten."""
ATTACHED = {"K", "B"}
"""Those that count only without a space before them: `300 K` is a temperature, `2 B` a label."""

_THIN = "\u00a0\u2009\u202f"
_VULGAR = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅖": "2/5",
    "⅗": "3/5",
    "⅘": "4/5",
} | {"⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_PLAIN = (
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\!"), ""),
    (re.compile(r"(?<=\d)\s*(?:\\[,;: ]|~)\s*(?=\d)"), "\u202f"),
    (re.compile(r"\\([$%€£])"), r"\1"),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "×"),
    (re.compile(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}"), r" \1/\2 "),
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)"), r" \1/\2 "),
    (re.compile("[" + "".join(_VULGAR) + "]"), lambda found: f" {_VULGAR[found[0]]} "),
    (re.compile("(?<=[0-9])[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"), lambda found: "^" + found[0].translate(_RAISED)),
    (re.compile(r"(?<![\w.)])-\s+(?=\d+/\d)"), "-"),
)
_CURRENCY = r"(?:US\$|[$€£¥₹]|(?:EUR|USD|GBP|CHF)\b)"
_SIGN = r"(?<![\w.)\]])[-+−–]"  # a minus belongs to the number unless something stands right before it: 3-4 is 3 and 4
_EXPONENT = (
    r"(?:[eE](?P<e>[-+]?\d{1,4})(?!\w)|\s*[×x*·]\s*10\s*\^\s*(?:\{\s*)?(?P<times>[-+−]?\d{1,4})"
    r"|\^(?:\{\s*)?(?P<power>[-+−]?\d{1,4}))"
)


class Numeral(NamedTuple):
    """A number in a `plain` text. `start` is where its digits begin, `end` where its scale ends, if it has one."""

    value: Decimal
    unscaled: Decimal
    start: int
    digits_end: int
    end: int
    written: str


def plain(text: str) -> str:
    """Write LaTeX, raised digits and fraction signs as plain text; positions of numerals refer to this."""
    for pattern, replacement in _PLAIN:
        text = pattern.sub(replacement, text)
    return text


def numerals(text: str, *, decimal_mark: DecimalMark = ".") -> Iterator[Numeral]:
    """Yield each number of a `plain` text, in order."""
    for found in _pattern(decimal_mark).finditer(text):
        unscaled = _unscaled(found, decimal_mark)
        if unscaled is None:
            continue
        scale, digits_end = found["scale"], found.end()
        value = unscaled
        if scale:
            digits_end = found.start("space")
            if not (scale in ATTACHED and found["space"]):
                value = EXACT.scaleb(unscaled, SCALES[scale])
        yield Numeral(value, unscaled, found.start("body"), digits_end, found.end(), found[0].strip())


@cache
def _pattern(mark: DecimalMark) -> re.Pattern[str]:
    point, other = re.escape(mark), re.escape("," if mark == "." else ".")
    between = rf"[ '’{_THIN}]"
    grouped = rf"\d{{1,3}}(?:{other}\d{{3}})+(?!\d)|\d{{1,3}}(?P<gap>{between})\d{{3}}(?:(?P=gap)\d{{3}})*(?!\d)"
    foreign = (  # can only be meant with the other mark
        rf"\d{{1,3}}(?:{point}\d{{3}})+{other}\d+|\d{{1,3}}(?:{point}\d{{3}}){{2,}}(?![\d{other}])"
        rf"|\d{{1,3}}(?:{between}\d{{3}})+{other}\d+(?!\d)|(?<![\[({{,;])0{other}\d+(?![\d,\])}}])"
    )
    if mark == ",":
        foreign += r"|\d{1,3}\.(?!\d{3}(?!\d))\d+|\d{4,}\.\d+"
    indian = r"\d{1,2}(?:,\d{2}){1,8},\d{3}(?!\d)"
    native = rf"(?:{indian}|{grouped}|\d+)(?:{point}\d+)?|(?<![\w.]){point}\d+"
    fraction = rf"(?:(?P<whole>\d+)\s+)?(?P<top>\d+)\s*/\s*(?P<bottom>\d+)(?![\d/]|{point}\d)"
    scale = "|".join(sorted(SCALES, key=len, reverse=True))
    return re.compile(
        rf"(?P<sign>{_SIGN})?(?:{_CURRENCY}\s?(?P<inner>[-−](?=\d))?)?"
        rf"(?P<body>(?<![\d/]){fraction}|(?:(?P<foreign>{foreign})|(?P<native>{native}))(?:{_EXPONENT})?)"
        rf"(?:(?P<space>[ {_THIN}]?)(?P<scale>{scale})(?:\.(?=\s|$))?(?={_CURRENCY}|[^\w$€£]|$))?"
    )


def _unscaled(found: re.Match[str], mark: DecimalMark) -> Decimal | None:
    if found["top"] is not None:
        value = _fraction(found)
    else:
        other = "," if mark == "." else "."
        digits, point = (found["foreign"], other) if found["foreign"] else (found["native"], mark)
        if found["foreign"] and found["foreign"].count(mark) > 1 and other not in found["foreign"]:
            digits = digits.replace(mark, "")
        if found["foreign"] and mark == "," and "." in digits and "," not in digits:
            point = "."
        kept = re.sub(rf"[^\d{re.escape(point)}]", "", digits).replace(point, ".")
        value = _raised(EXACT.create_decimal(kept), found)
    if value is None:
        return None
    return EXACT.minus(value) if (found["sign"] or "+") in "-−–" or found["inner"] else value


def _fraction(found: re.Match[str]) -> Decimal | None:
    whole, top, bottom = (EXACT.create_decimal(found[name] or "0") for name in ("whole", "top", "bottom"))
    if not bottom:
        return None
    return EXACT.add(whole, EXACT.divide(top, bottom))


def _raised(value: Decimal, found: re.Match[str]) -> Decimal | None:
    exponent = found["e"] or found["times"]
    if exponent:
        return EXACT.multiply(value, EXACT.create_decimal(f"1e{exponent.replace('−', '-')}"))
    if found["power"]:
        power = int(found["power"].replace("−", "-"))
        return EXACT.power(value, power) if abs(power) <= MAX_POWER else None
    return value


class ColumnReading(NamedTuple):
    """How a column of references is read."""

    decimal_mark: DecimalMark
    certain: bool
    """False when values could be read either way and none decides: the mark is the usual one, a point."""
    example: str | None
    """A value that decided, or one that could be read either way."""


_EITHER = re.compile(r"(?<![\d.,])(?!0)\d{1,3}[.,]\d{3}(?![\d.,]*\d)")
_POINT = re.compile(
    r"(?<![\d.,])(?:(?:\d{1,3}(?:,\d{3})+|\d+)\.(?!\d{3}(?!\d))\d+|\d{1,3}(?:,\d{3})+\.\d+|0\.\d+|\d{4,}\.\d+)(?![\d.,]*\d)"
)
_COMMA = re.compile(
    r"(?<![\d.,])(?:(?:\d{1,3}(?:\.\d{3})+|\d+),(?!\d{3}(?!\d))\d+|\d{1,3}(?:\.\d{3})+,\d+|0,\d+|\d{4,},\d+)(?![\d.,]*\d)"
)


def guess_decimal_mark(references: Iterable[str]) -> ColumnReading:
    """Find the decimal mark of a column by the values that can be read in one way only; the majority if both occur."""
    with_point, with_comma, either = [], [], None
    for reference in references:
        text = plain(reference)
        if _POINT.fullmatch(_bare(text)):
            with_point.append(reference)
        if _COMMA.fullmatch(_bare(text)):
            with_comma.append(reference)
        if either is None and _EITHER.search(text):
            either = reference
    if len(with_comma) > len(with_point):
        return ColumnReading(",", certain=not with_point, example=with_comma[0])
    if with_point:
        return ColumnReading(".", certain=not with_comma, example=with_point[0])
    return ColumnReading(".", certain=either is None, example=either)


def _bare(text: str) -> str:
    """Return the text from its first digit, or the mark before it, to its last digit."""
    digits = [place for place, letter in enumerate(text) if letter.isdigit()]
    if not digits:
        return ""
    first = digits[0] - (digits[0] > 0 and text[digits[0] - 1] in ".,")
    return text[first : digits[-1] + 1]
