r"""Read numbers as people write them, exactly. Standard library only: the sandbox loads it too.

    number   = [sign] [currency] digits [exponent | "/" digits] [scale]
    digits   = 1234 | 12,000 | 1,00,000 | 9 500 | 9'500 | 1_000, then a decimal mark and decimals
    exponent = e-3 | × 10^-3 | ^6
    scale    = k | M | million | ...

after `plain` (notation.py) has written LaTeX and Unicode in one way. A mark that could be either (`1,234`) is read by
`decimal_mark`; decimal_marks.py finds the one of a whole column. What is part of something else is no number: `CO2`,
`x_1`, `m^2`, `12:30`, `±2`. What is part of an expression (`3√13`, `π/4`, `2^0.5`) is a number without a value.
"""

import re
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Literal, NamedTuple

DecimalMark = Literal[".", ","]

MAX_POWER = 400
"""Largest exponent of a written power: `9^9999` has more digits than a score needs."""
MAX_DIGITS = 1000
MAX_NUMERALS = 500
"""An answer is at the end of a text; a model that repeats itself writes a hundred thousand numbers."""
_ABBREVIATIONS = {
    word: (10, power)
    for power, words in ((3, "k K"), (6, "M MM m mn mln"), (9, "B b bn Bn"), (12, "tn"))
    for word in words.split()
}
_WORDS = {"dozen": (12, 1), "dozens": (12, 1)} | {
    word: (10, power)
    for power, words in (
        (2, "hundred hundreds 百 백"),
        (3, "tsd thousand thousands tausend mille тыс тысяч тысячи тысяча 千 천"),
        (4, "万 萬 만"),
        (5, "lakh lakhs lac lacs"),
        (6, "mio million millions millionen millón millones milione milioni milhão milhões miljoen"),
        (6, "млн миллион миллиона миллионов 百万 백만"),
        (7, "crore crores 千万 천만"),
        (8, "亿 億 억"),
        (9, "billion billions mrd milliarde milliarden milliard milliards miliardo miliardi"),
        (9, "bilhão bilhões miljard млрд миллиард миллиарда миллиардов"),
        (12, "trillion trillions billionen billón billones trilhão trilhões 万亿"),
        (15, "quadrillion quadrillions billiarde billiarden"),
        (18, "trillionen"),
        (21, "trilliarde trilliarden"),
        (-1, "tenth tenths"),
        (-2, "hundredth hundredths"),
        (-3, "thousandth thousandths"),
        (-6, "millionth millionths"),
    )
    for word in words.split()
}
SCALES = _ABBREVIATIONS | _WORDS
"""What multiplies the number before it, each with base and exponent. The words may have capital letters."""
ATTACHED = {"K", "B"}
"""Those that count only without a space before them, or with a currency: `300 K` is a temperature, `2 B` a label."""
OF_MONEY = {"m", "b"}
"""Those that count only with a currency: `$5m`, but `5m` is a length."""

_SYMBOLS = "$€£¥₹₩₽₺₪₫฿₱₦"
_CURRENCY = rf"(?:[A-Z]{{0,3}}[{_SYMBOLS}]|(?:EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|Rs\.?|Fr\.)(?![A-Za-z]))"
_LETTER = "A-Za-zÀ-ÖØ-öø-ɏΑ-Ωα-ορ-ω"
_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_SCALE = rf"(?i:{_WORD})|{'|'.join(sorted(_ABBREVIATIONS, key=len, reverse=True))}"
_NO_SPACE_AFTER = r"(?<=[万萬만亿億억천百백])|(?<=千)(?![克米瓦卡])"
"""After these words another may follow at once: `5万元`, but `5千克` is in kilograms."""
SCALE_WORD = rf"(?i:{_WORD})(?:{_NO_SPACE_AFTER}|(?![\w-]))"
_TOKEN = re.compile(
    rf"""
    (?P<expression>\\[a-z]{{0,4}}(?:frac|binom)\s?\{{(?:[^{{}}]|\{{[^{{}}]*\}}){{0,99}}\}}\s?\{{(?:[^{{}}]|\{{[^{{}}]*\}}){{0,99}}\}}
        |(?:√|(?<![A-Za-z])(?:sqrt|log(?:_\{{?\d{{1,3}}\}}?|10(?=\())?|ln|(?:cbrt|exp|sin|cos|tan)(?=\()))\s?[({{]?\s?-?\d++(?:[.,]\d++)*+|π\s?/\s?\d++)
    |(?:\^\s?[-+({{]*+\s?|±\s?{_CURRENCY}?)\d++(?:[.,]\d++)*+    # an exponent, an uncertainty
    |\d++(?::\d++)++|\d{{1,2}}h\d\d(?!\w)|\d{{4}}-\d\d-\d\d(?!\d)   # a time or a ratio, a date
    |(?:(?P<sign>[-+]|(?:[Mm]inus|[Nn]egative|moins)(?=\s))[ ]{{0,4}}[*_`]{{0,3}}(?P<open>\([ ]?)?)?
     (?P<currency>(?<!\d){_CURRENCY}\s?(?P<inner>-\s?(?=\d))?)?
     (?P<run>\d++(?:[.,'_ ]\d++)*+|(?<![\w.,])[.,]\d++)
     (?:\s?/\s?(?P<bottom>\d++(?:[.,]\d++)*+)
      |[eE](?P<e>[-+]?\d{{1,4}})(?!\w)
      |\s{{0,2}}[×x*]\s{{0,2}}10\s?\^\s?(?P<times>[-+]?\d{{1,4}})(?!\d)
      |\^(?P<power>[-+]?\d{{1,4}})(?!\d|\.\d))?
     (?P<scaled>(?P<space>[ ]?|[ *_`$}}\-]{{1,4}}(?=[^\W\d_]{{3}}))(?P<scale>{_SCALE})
       (?:{_NO_SPACE_AFTER}|(?:\.(?=[\s)]|$))?(?!-[1-6]\b)(?={_CURRENCY}|[^\w^/{_SYMBOLS}]|$)))?
     (?(open)\s?\))
    |[{_LETTER}](?:[{_LETTER}\d]|_(?=\w))*+(?:_?\{{[^{{}}\s]{{1,20}}\}})?    # a word, with the digits of its name
    """,
    re.VERBOSE,
)
_NOT_AFTER = re.compile(rf"(?:[\w)\]}}%°.\-]|\d[{_SYMBOLS}`*])\Z")
"""What comes before a dash that joins or subtracts: `3-4`, `5%-10%`, `5€-10€`, `**5**-**10**`."""
_SIGN_AFTER = re.compile(r"(?:[=:(\[{<>≤≥≈≠,;|/×^]|(?<!\w)[$*]|\b(?:is|are|was|be|equals?|to|of))\Z")
"""What comes before a minus with a space after it: `x = - 5`, but not `7 - 5`, `the answer - 5`, or a bullet."""
_SUBTRACTED_FROM = re.compile(r"(?:[\d)%\-]|(?<![A-Za-z])[A-Za-z])\Z")
"""What comes before the word in `7 minus 5`."""


_GOES_ON = re.compile(r"\s?[×*]?\s?(?:[√π]|pi(?![A-Za-z]))|\^(?!\s?\{?\s?(?:st|nd|rd|th)\b)")
"""What makes the number before it part of an expression."""
_ADDED_TO = re.compile(rf"\d[ ]?(?i:{_WORD})[ ]?\Z")
"""What comes before a number that is only the rest of one: `2万5000`, `1 million 200 thousand`."""
_SHUTS_MATH = re.compile(r"[^$\n]{0,60}(?<=[^\s$])\$(?!\d)")
"""What shows that the `$` before a number only opens mathematics: `$9.8 m s^-2$`."""
_MONEY_FOLLOWS = re.compile(rf"\s?{_CURRENCY}")


class Numeral(NamedTuple):
    """A number in a `plain` text. `start` is where its digits begin, `end` where its scale ends, if it has one.

    `value` is None where the number is part of an expression, or too long.
    """

    value: Fraction | None
    unscaled: Fraction | None
    start: int
    digits_end: int
    end: int
    written: str


class _Piece(NamedTuple):
    start: int
    literal: str
    value: Fraction | None


def numerals(text: str, *, decimal_mark: DecimalMark = ".") -> Iterator[Numeral]:
    """Yield the numbers of a `plain` text, in order: the last ones, if it has more than `MAX_NUMERALS`."""
    found_all = (found for found in _TOKEN.finditer(text) if found["run"] or found["expression"])
    for found in deque(found_all, maxlen=MAX_NUMERALS):
        if found["expression"]:
            yield Numeral(None, None, found.start(), found.end(), found.end(), found[0])
        else:
            yield from _numerals_of(found, text, decimal_mark)


def last_literal(text: str) -> str | None:
    """Return the digits and marks of the last number of a `plain` text; None if it has none, or a list in brackets."""
    runs = [found for found in _TOKEN.finditer(text) if found["run"]]
    if not runs or _is_listed(runs[-1], text):
        return None
    run: str = runs[-1]["run"]
    return run if readings(run) else run.rpartition(" ")[2]


def readings(literal: str) -> dict[DecimalMark, Fraction | None]:
    """Return what the digits mean with each decimal mark with which they can be read."""
    marks: tuple[DecimalMark, ...] = (".", ",")
    return {mark: _value(found) for mark in marks if (found := _literal(mark).fullmatch(literal))}


@cache
def _literal(mark: DecimalMark) -> re.Pattern[str]:
    gap = "[,' _]" if mark == "." else "[.' _]"
    indian = r"|[1-9]\d?(?:,\d\d)+,\d{3}" if mark == "." else ""
    grouped = rf"[1-9]\d{{0,2}}(?P<gap>{gap})\d{{3}}(?:(?P=gap)\d{{3}})*"
    return re.compile(rf"(?P<whole>{grouped}{indian}|\d+|(?={re.escape(mark)}))(?:{re.escape(mark)}(?P<decimals>\d+))?")


def _value(found: re.Match[str]) -> Fraction | None:
    digits, decimals = re.sub(r"\D", "", found["whole"]), found["decimals"] or ""
    if len(digits) + len(decimals) > MAX_DIGITS:
        return None
    return Fraction(int(digits + decimals), 10 ** len(decimals))


def _numerals_of(found: re.Match[str], text: str, mark: DecimalMark) -> Iterator[Numeral]:
    pieces = list(_pieces(found["run"], found.start("run"), mark, listed=_is_listed(found, text)))
    if found["bottom"]:
        pieces = _with_bottom(pieces, found, text, mark)
    if _negates(found, text) and pieces[0].value is not None:
        pieces[0] = pieces[0]._replace(value=-pieces[0].value)
    *others, last = pieces
    for piece in others:
        end = piece.start + len(piece.literal)
        yield Numeral(piece.value, piece.value, piece.start, end, end, piece.literal)
    is_part = _GOES_ON.match(text, found.end()) or _ADDED_TO.search(text, max(0, found.start() - 20), found.start())
    unscaled = None if is_part else _raised(last.value, found)
    value = unscaled
    is_scaled = _scale_counts(found, text)
    if unscaled is not None and is_scaled:
        base, exponent = power_of(found["scale"])
        value = unscaled * Fraction(base) ** exponent
    digits_end = found.end() if found["scaled"] is None else found.start("scaled")
    end = found.end() if is_scaled else digits_end
    yield Numeral(value, unscaled, last.start, digits_end, end, text[found.start() : end].strip())


def _pieces(run: str, start: int, mark: DecimalMark, *, listed: bool) -> Iterator[_Piece]:
    """Split what no number is written like: a list such as `10 20 300` or `1,2,3`."""
    for offset, literal in [(0, run)] if _read(run, mark, listed=listed) else _parts_at_spaces(run)[-MAX_NUMERALS:]:
        if found := _read(literal, mark, listed=listed):
            yield _Piece(start + offset, literal, _value(found))
            continue
        inner = r"\d+(?:\.\d+)?(?![.\d])|\d+" if mark == "." else r"\d+(?:,\d+)?(?![,\d])|\d+"
        for digits in deque(re.finditer(inner, literal), maxlen=MAX_NUMERALS):
            found = _literal(mark).fullmatch(digits[0])
            assert found is not None
            yield _Piece(start + offset + digits.start(), digits[0], _value(found))


def _parts_at_spaces(run: str) -> list[tuple[int, str]]:
    """Split at spaces. Three digits that begin with 0 belong to what is before them: `2020 12 000`."""
    parts: list[tuple[int, str]] = []
    for found in re.finditer("[^ ]+", run):
        if parts and re.fullmatch(r"0\d\d(?:\D\d*)?", found[0]):
            offset, literal = parts[-1]
            parts[-1] = (offset, f"{literal} {found[0]}")
        else:
            parts.append((found.start(), found[0]))
    return parts


def _read(literal: str, mark: DecimalMark, *, listed: bool) -> re.Match[str] | None:
    """Match digits by the column's decimal mark, or by the other one if only that fits. `(1,5)` is a pair."""
    found = _literal(mark).fullmatch(literal)
    if found or (listed and mark == "." and "." not in literal):
        return found
    return _literal("," if mark == "." else ".").fullmatch(literal)


def _is_listed(found: re.Match[str], text: str) -> bool:
    """Return whether nothing but the digits is in brackets."""
    start, end = found.span("run")
    before, after = text[max(0, start - 3) : start].rstrip(" ")[-1:], text[end : end + 3].lstrip(" ")[:1]
    return before + after in ("()", "[]", "{}", "[)", "(]")


def _with_bottom(pieces: list[_Piece], found: re.Match[str], text: str, mark: DecimalMark) -> list[_Piece]:
    """Make one number of `1/2` and of `1 1/2`; leave the numbers of `3/4/2024` as they are."""
    bottom = list(_pieces(found["bottom"], found.start("bottom"), mark, listed=False))
    start, end = found.start("run"), found.end("bottom")
    if len(bottom) > 1 or text[max(0, start - 1) : start] == "/" or re.match(r"/\d", text[end : end + 2]):
        return [*pieces, *bottom]
    *others, top = pieces
    value = top.value / bottom[0].value if top.value is not None and bottom[0].value else None
    if others and others[-1].literal.isdigit() and top.literal.isdigit():
        whole = others.pop()
        value = None if value is None or whole.value is None else whole.value + value
        top = top._replace(start=whole.start)
    return [*others, top._replace(value=value)]


def _raised(value: Fraction | None, found: re.Match[str]) -> Fraction | None:
    exponent = found["e"] or found["times"]
    if value is None or (exponent is None and found["power"] is None):
        return value
    if exponent is not None:
        return value * Fraction(10) ** int(exponent)
    power = int(found["power"])
    small = abs(power) <= MAX_POWER and (value or power >= 0) and len(found["run"]) * abs(power) <= 10 * MAX_DIGITS
    return value**power if small else None


def _negates(found: re.Match[str], text: str) -> bool:
    sign = found["sign"]
    if found["inner"] or sign is None or sign == "+":
        return bool(found["inner"])
    start, end = found.span("sign")
    before = text[max(0, start - 12) : start]
    if sign != "-":
        return not _SUBTRACTED_FROM.search(before.rstrip(" "))
    if text[end] != " ":
        return not _NOT_AFTER.search(before)
    return bool(_SIGN_AFTER.search(before.rstrip(" ")))


def power_of(scale: str) -> tuple[int, int]:
    """Return the base and the exponent of the power by which a word of SCALES multiplies."""
    return SCALES[scale] if scale in SCALES else SCALES[scale.lower()]


def _scale_counts(found: re.Match[str], text: str) -> bool:
    scale = found["scale"]
    if scale in ATTACHED or scale in OF_MONEY:
        is_math = found["currency"] == "$" and _SHUTS_MATH.match(text, found.end())
        money = not is_math and (found["currency"] or _MONEY_FOLLOWS.match(text, found.end()))
        return bool(money) or (scale in ATTACHED and not found["space"])
    return scale is not None
