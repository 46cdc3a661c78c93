r"""Inside: which numbers of a text are meant as an answer, by what stands next to them.

A number that is denied (`not 43`) or refers to a note (`42 [1]`) is passed over. One that is part of something else has
no value: of a range (`41-42`), a ratio (`1 in 4`), a list, an alternative, a bound (`x > 42`) or an expression
(`2x + 3`).
"""

import re
from collections.abc import Iterator

from backend.verifiers.numerals import DecimalMark, Numeral, numerals

_WINDOW = 48
"""Characters before a number that are looked at."""
_SIGN = r"[-$€£]{0,2}\s?\Z"
"""What may stand between a number and what comes before it."""
_NUMBER = r"[-$€£]{0,2}\d(?:[\d.,]{0,20}\d)?(?:\s?[A-Za-z%°$€£]{1,4})?"
_DENIED = re.compile(
    r"(?:\bnot(?: quite| exactly)?|n't|≠|!=|\\neq?|\brather than|\binstead of|\banything but)\s{0,4}"
    rf"(?:equal to\s{{1,4}})?{_SIGN}",
    re.I,
)
_NOTE = (re.compile(r"\d[.,]?[ ]?\[\Z"), re.compile(r"\d{1,2}\]"))
_EQUALS = r"\$?[A-Za-z]\w{0,2}\s?=[\s:]{0,4}"
_ALTERNATIVE = (
    rf"(?:\d[^\d.;\n]{{0,12}}(?:\b(?:or|oder|ou|o)|\\lor|∨)\s{{1,4}}(?:{_EQUALS})?|(?:\d\s{{1,4}}(?:and|&|und)|\bbetween\b[^.;\n]{{0,24}}\band"
    rf"|\bzwischen\b[^.;\n]{{0,24}}\bund|\bentre\b[^.;\n]{{0,24}}\b(?:y|et|e))\s{{1,4}}){_SIGN}"
)
_ANOTHER_VALUE = (
    rf"(?<![\w\\])(?P<name>[A-Za-z]\w{{0,2}})\s?=\s?{_NUMBER}[ $*]{{0,4}}(?:[,;]|\b(?:and|und|et|y|e)\b|&)"
    rf"(?:\s?(?:and|or)\b)?[ $*]{{0,4}}(?P=name)\s?=[\s:]{{0,4}}{_SIGN}"
)
"""`x = 2, x = 5`; the two numbers of `x = 2, y = 5` are different things."""
_LISTED = rf"(?:\b(?:is|are)\b|[=:(\[{{]|\d[,;])\s{{0,4}}{_NUMBER}\s?[,;]\s{{0,4}}{_SIGN}"
_IN_A_RANGE = (
    rf"\d(?:[ ]?[A-Za-z%°$€£]{{1,4}})?(?:[ ]?(?:[-~…]|\\sim|\.{{2,3}})|—)[ ]?{_SIGN}"
    r"|(?:\A|\b(?:is|are|be|was|about|approximately|around|roughly|ranges?|ranging)\b|[=:≈~(])\s{0,4}(?:from\s{1,4})?"
    rf"{_NUMBER}\s{{1,4}}(?:to|through|until|till|bis)\s{{1,4}}{_SIGN}"
)
_BOUND = (
    r"(?:(?:\A|(?<![\w</])\w{1,12}[)\]}]?)\s{0,4}(?:[<>]=?|\\[lg](?:e|eq|t)(?:slant)?(?![A-Za-z]))|[≤≥]=?"
    r"|\b(?:(?:more|less|fewer|greater|smaller|higher|lower|larger) than|over|under|above|below|almost|nearly))\s{0,4}"
    + _SIGN
)
_IN_AN_EXPRESSION = (
    r"[\w)](?:[+*÷/×±]|[ ]{1,3}[+*÷/×±][ ]{1,3})[-(]?\Z|\d[ ]?x[ ]?\Z|(?:(?<![A-Za-z])[a-z]|\))[ ]?-[ ]?\Z"
    rf"|(?<![A-Za-z])[A-Za-z]\((?:\d{{1,20}},\s?)?\Z|(?:\bto the power(?: of)?|\d to the)\s{{1,4}}{_SIGN}"
)
_RATIO = (
    r"(?:(?:(?<![\w.,])\d[\d.,/]*|\}|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|half|(?:third|quarter|fifth"
    r"|tenth)s?))(?:\s?(?:%|per ?cent))?(?!\w)[^\w.,:;=?!\n]{0,6}(?<!\w)(?:in|of|von|sur|de cada)"
    r"|\d[^\d.;\n]{0,24}\b(?:out of|per|(?:for|to|in) (?:every|each))|\bratio\b[^\d.;\n]{0,12}\d[\d.,]{0,12} to)"
    rf"[\s-]{{1,4}}(?:(?:the|every|each)\s{{1,4}})?[*_`]{{0,3}}{_SIGN}"
)
_AFTER_A_UNIT = re.compile(
    rf"\d[ ]?(?:ft|feet|foot|yd|yards?|lbs?|pounds?|stone|hrs?|h|hours?|min(?:ute)?s?|m|km|kg|years?|months?|weeks?"
    rf"|days?|dollars?|euros?),?[ ](?:and[ ])?{_SIGN}"
)
_SMALLER_UNIT = re.compile(
    r"[ ]?(?:in(?:ch(?:es)?)?|oz|ounces?|min(?:ute)?s?|s(?:ec(?:ond)?s?)?|cm|mm|m|g|months?|weeks?|days?|hours?"
    r"|cents?)(?!\w)"
)
"""The second part of `5 ft 10 in`, `2 hours and 30 minutes`."""
_BEFORE_A_PART = re.compile(
    "|".join((_ALTERNATIVE, _ANOTHER_VALUE, _LISTED, _IN_A_RANGE, _RATIO, _BOUND, _IN_AN_EXPRESSION)), re.I
)
_AFTER_A_PART = re.compile(
    r"!(?:\s?[$+*/×=)-]|\d)|[inxyz](?![\w'])|[ ]?[-+×][ ]?[b-z](?![\w'])|\*[b-z](?![\w'])|[ ]mill?\b"
    r"|[ ](?:or (?:more|less|fewer|higher|so)|and an? (?:half|third|quarter))\b"
)
"""A factorial, a factor or a summand: `3!`, `3x`, `3 + x`. `3 m` is a length; `3 mil` may be thousands or millions."""


def meant(text: str, mark: DecimalMark, *, unit: re.Pattern[str]) -> Iterator[Numeral]:
    """Yield the numbers of a `plain` text that it does not deny, without their value if they are part of something.

    `unit`: what follows a number as its unit, and is therefore no factor.
    """
    note_opens, note = _NOTE
    for one in numerals(text, decimal_mark=mark):
        before = text[max(0, one.start - _WINDOW) : one.start]
        if _DENIED.search(before) or (note_opens.search(before) and note.match(text, one.start)):
            continue
        goes_on = _AFTER_A_PART.match(text, one.end) or (
            _SMALLER_UNIT.match(text, one.end) and _AFTER_A_UNIT.search(before)
        )
        is_part = (goes_on and not unit.match(text, one.end)) or _BEFORE_A_PART.search(before)
        yield one._replace(value=None, unscaled=None) if is_part else one
