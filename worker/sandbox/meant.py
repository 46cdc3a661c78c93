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
_NOTE = (re.compile(r"\d[.,]?[ ]?\[\Z"), re.compile(r"(?<!\d\d\d)\]"))
_PRECISION = (
    re.compile(
        rf"(?:[(,]|(?<!\w)(?:to|with|in|round(?:ed|ing)|correct|accurate|auf|à|a|con|su|até)|保留|取)\s{{0,4}}{_SIGN}",
        re.I,
    ),
    re.compile(
        r"[ -]?(?:(?:decimal|dec\.?)(?:s\b|[ -](?:places?|digits?|points?))|d\.?\s?p\b|places?\b|s\.?\s?f\b"
        r"|sig(?:\.|nificant)?[ -](?:fig(?:ure)?s?|digits?)|significant\b|digits\b|(?:Nachkomma|Dezimal)?stellen?\b"
        r"|d[ée]cimal(?:es?|i)\b|casas decimais|位(?:小[数數]|有效)|桁|자리)",
        re.I,
    ),
)
"""What stands around the 2 of `12.35 (rounded to 2 decimal places)`."""
_NEAREST = re.compile(rf"(?:\bnearest\s{{1,4}}|精[确確]到\s?){_SIGN}", re.I)
PERCENT = re.compile(r"[ ]?\\?%")
_SURE = (
    re.compile(
        rf"\b(?:confiden\w{{1,4}}|certainty)(?: level| score)?[\"'*]{{0,3}}(?:\s?[:=]|\s(?:is|of)\b)?[\s*]{{0,4}}"
        rf"{_SIGN}",
        re.I,
    ),
    re.compile(r"\s?(?:%|per ?cent)?\s?(?:confiden\w{1,4}|sure|certain(?:ty)?)\b", re.I),
)
"""What stands before or after the 95 of `42 (confidence: 95%)` and `I am 95% sure`."""
_OWN_PART = re.compile(
    r"(?:\b(?:see|explain)|\((?:in|from|by|using))\s{1,4}(?:the\s)?"
    rf"(?:step|equation|eq\.|formula|theorem|lemma|table|figure|fig\.)s?\s{{0,2}}[#(]?{_SIGN}",
    re.I,
)
"""What a number follows that points to a part of the text: `(see step 3)`."""
_SAID_OF = (
    r"(?:answers?|ans|total|sum|result|value|solution|score|count|number|cost|price|amount|final|output|equals?|are|about"
    r"|approx\w*|around|height|length|width|age|area|minus|plus|jan\w*|feb\w*|mar|march|apr\w*|may|june?|july?|aug\w*|sep\w*"
    r"|oct\w*|nov\w*|dec\w*|eur|usd|gbp|chf|jpy|cny|inr|rs)"
)
_NAMED = re.compile(
    rf"(?<![\w.$-])(?<![=+*/×^]\s)(?!(?i:{_SAID_OF})-)"
    r"(?:[A-Za-z]{3,}|[A-Z][A-Za-z]|[a-z][A-Z]|[A-Za-z]{1,8}\d[\w.]{0,8})(?:-[\w.]{1,12}){0,3}-\Z"
    r"|(?<![\w.])[A-Za-z]{1,8}\d{1,4}\.\Z"
)
_LETTER_NAMED = (re.compile(r"(?<![\w.$-])(?<![=+*/×^]\s)[A-Z]-\Z"), re.compile(r"\d{0,4}s?\s[a-z]{3}"))
"""What digits belong to that are part of a name: `COVID-19`, `Qwen2.5`; `42 F-16 jets`, but not `N-1`."""
_UNIT = r"(?:[mcdkμn]?(?:mol|Pa|Hz|eV|[mgLlsJWVAKNCM])|min|hr?|bar|atm|T|°C)"
_POWER_OF_UNIT = (
    re.compile(
        rf"(?<!\w)\d[\d.,^×-]{{0,12}}\s?"
        rf"(?:(?:{_UNIT}(?:\^?-?\d)?[ .×/*]{{1,2}}){{1,4}}{_UNIT}|(?![mgLlJWVANC]-){_UNIT})-\Z"
    ),
    re.compile(rf"[1-6](?!\d|[.,]\d|\s?{_UNIT}(?![\w-]))"),
)
"""The exponent in `0.1 mol dm-3`, but not the second number of `2 cm-3 cm`."""
_INDEX = r"(?:_?\{?\d{1,2}\}?)?"
_EQUALS = rf"\$?[A-Za-z]\w{{0,2}}{_INDEX}\s?=[\s:]{{0,4}}"
_ALTERNATIVE = (
    rf"(?:\d[^\d.;\n]{{0,12}}(?:\b(?:or|oder|ou|o)|\\lor|∨)\s{{1,4}}(?:{_EQUALS})?|(?:\d\s{{1,4}}(?:and|&|und)|\bbetween\b[^.;\n]{{0,24}}\band"
    rf"|\bzwischen\b[^.;\n]{{0,24}}\bund|\bentre\b[^.;\n]{{0,24}}\b(?:y|et|e))\s{{1,4}}){_SIGN}"
)
_ANOTHER_VALUE = (
    rf"(?<![\w\\])(?P<name>[A-Za-z]\w{{0,2}}?){_INDEX}\s?=\s?{_NUMBER}[ $*]{{0,4}}(?:[,;]|\b(?:and|und|et|y|e)\b|&)"
    rf"(?:\s?(?:and|or)\b)?[ $*]{{0,4}}(?P=name){_INDEX}\s?=[\s:]{{0,4}}{_SIGN}"
)
"""`x = 2, x = 5`, `x_1 = 2, x_2 = 5`; the two numbers of `x = 2, y = 5` are different things."""
_LISTED = rf"(?:\b(?:is|are)\b|[=:(\[{{]|\d[,;])\s{{0,4}}{_NUMBER}\s?[,;]\s{{0,4}}{_SIGN}"
_NO_UNIT = (
    r"(?:is|are|was|were|be|been|has|had|have|gets?|got|gave|give|fell|went|hits?|at|by|as|of|on|so|then|we|it)\b"
)
"""What is no unit before a minus: `The change in 2018 was -5`."""
_IN_A_RANGE = (
    rf"\d(?:[ ]?(?!{_NO_UNIT})[A-Za-z%°$€£]{{1,4}})?(?:[ ]?(?:[-~…]|\\sim|\.{{2,3}})|—)[ ]?{_SIGN}"
    r"|(?:\A|\b(?:is|are|be|was|about|approximately|around|roughly|ranges?|ranging)\b|[=:≈~(])\s{0,4}(?:from\s{1,4})?"
    rf"{_NUMBER}\s{{1,4}}(?:to|through|until|till|bis)\s{{1,4}}{_SIGN}"
)
_BOUND = (
    r"(?:(?:\A|(?<![\w</])\w{1,12}[)\]}]?)\s{0,4}(?:[<>]=?|\\[lg](?:e|eq|t)(?:slant)?(?![A-Za-z]))|[≤≥]=?"
    r"|\b(?:(?:more|less|fewer|greater|smaller|higher|lower|larger) than|over|under|above|below|almost|nearly))\s{0,4}"
    + _SIGN
)
_IN_AN_EXPRESSION = (
    r"[\w)](?:[+*÷/×±]|[ ]{1,3}[+*÷/×±][ ]{1,3})[-(]?\Z|\d[ ]?x[ ]?\Z|(?:(?<![A-Za-z'])[a-z]|\))[ ]?-[ ]?\Z"
    rf"|(?<![A-Za-z])[A-Za-z]\((?:\d{{1,20}},\s?)?\Z|(?:\bto the power(?: of)?|\d to the)\s{{1,4}}{_SIGN}"
)
_RATIO = (
    r"(?:(?:(?<![\w.,])\d[\d.,/]*|\}|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|half|(?:third|quarter|fifth"
    r"|tenth)s?))(?:\s?(?:%|per ?cent))?(?!\w)[^\w.,:;=?!\n]{0,6}(?<!\w)(?:in|of|von|sur|de cada)"
    r"|\d[^\d.;\n]{0,24}\b(?:out of|per|(?:for|to|in) (?:every|each))|\bratio\b[^\d.;\n]{0,12}\d[\d.,]{0,12} to)"
    rf"[\s-]{{1,4}}(?:(?:the|every|each)\s{{1,4}})?[*_`]{{0,3}}{_SIGN}"
)
_FEET = re.compile(r"\d\s?(?:'|ft\.?|feet|foot)\s?-?\s?(?:\d{1,2}\s)?\Z", re.I)
_INCHES = re.compile(r"(?:\s?\d{1,2}/\d{1,2})?\s?(?:''|[\"″”])")
_AFTER_A_UNIT = re.compile(
    rf"\d[ ]?(?:ft|feet|foot|yd|yards?|lbs?|pounds?|stone|hrs?|h|hours?|min(?:ute)?s?|m|km|kg|years?|months?|weeks?"
    rf"|days?|dollars?|euros?),?[ ](?:and[ ])?{_SIGN}|\d\s?(?:小时|小時|時間|시간|[时時点點시分분年년月월元米])\s?\Z"
)
_SMALLER_UNIT = re.compile(
    r"[ ]?(?:in(?:ch(?:es)?)?|oz|ounces?|min(?:ute)?s?|s(?:ec(?:ond)?s?)?|cm|mm|m|g|months?|weeks?|days?|hours?"
    r"|cents?)(?!\w)|\s?(?:分|秒|月|日|天|角|分钟|个月|분|초|월|일|厘米)"
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
    last: Numeral | None = None
    for one in numerals(text, decimal_mark=mark):
        before = text[max(0, one.start - _WINDOW) : one.start]
        if _DENIED.search(before) or _is_in(text, one, before, _NOTE) or _is_named(text, one, before):
            continue
        if last is not None and _is_aside(text, one, before):
            continue
        is_again = _is_percent_of(last, one, text)
        last = one
        goes_on = _AFTER_A_PART.match(text, one.end) or (
            _SMALLER_UNIT.match(text, one.end) and _AFTER_A_UNIT.search(before)
        )
        is_part = (goes_on and not unit.match(text, one.end)) or _BEFORE_A_PART.search(before)
        if (is_part and not is_again) or (_FEET.search(before) and _INCHES.match(text, one.end)):
            one = one._replace(value=None, unscaled=None)
        yield one


def _is_percent_of(last: Numeral | None, one: Numeral, text: str) -> bool:
    """Return whether a number is the one before it in percent: `0.25, or 25%`."""
    if last is None or last.value is None or one.value != last.value * 100:
        return False
    return (
        PERCENT.match(text, one.end) is not None
        and re.fullmatch(r"[\s$*,]{1,4}or\s", text[last.end : one.start]) is not None
    )


def _is_aside(text: str, one: Numeral, before: str) -> bool:
    """Return whether a number after another says how exact or sure that one is, or where it comes from."""
    is_sure = _SURE[0].search(before) or _SURE[1].match(text, one.end)
    return bool(is_sure or _is_in(text, one, before, _PRECISION) or _NEAREST.search(before) or _OWN_PART.search(before))


def _is_in(text: str, one: Numeral, before: str, surroundings: tuple[re.Pattern[str], re.Pattern[str]]) -> bool:
    return bool(surroundings[0].search(before) and surroundings[1].match(text, one.end))


def _is_named(text: str, one: Numeral, before: str) -> bool:
    """Return whether the digits belong to a name or a unit."""
    if _NAMED.search(before):
        return True
    return any(
        opens.search(before) and digits.match(text, one.start) for opens, digits in (_LETTER_NAMED, _POWER_OF_UNIT)
    )
