r"""Inside: the `math` grader: the expression a text states against the reference's, compared by math-verify.

What math-verify gets is one bounded expression in LaTeX, never a text: in a text it would take the last number alone,
13 of `3\sqrt{13}` and 2 of `(1, 2)`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from worker.sandbox.latex import FUNCTIONS, as_latex, in_one_notation
from worker.sandbox.marked import JOINT, after_hashes, answer_of, boxed_values
from worker.sandbox.scorers import GradeError, Scored, Scorer, require_reference

MAX_EXPRESSION_CHARS = 400
MAX_WORDS = 6
"""Words of a reference without mathematics, such as `no solution`; with more of them it is a sentence."""

_DELIMITED = re.compile(
    r"\$\$([^$]{1,2000})\$\$|\\\[((?:[^\\]|\\(?![\[\]])){1,2000})\\\]|\\\(((?:[^\\]|\\(?![()])){1,2000})\\\)"
    r"|(?<![\\\d$])\$(?=[^\s$])([^$\n]{1,2000})(?<=[^\s\\])\$(?![\d$])"
)
_STATED = re.compile(
    r"\b(?:answer|ans|solution|result|antwort|lösung|réponse|respuesta)\b[^\n.:=：$\\\d]{0,60}?"
    r"(?:\b(?:is|ist|est|es)\b|[:=：])\s{0,8}[:：]?|答案(?:是|为)?[:：]?",
    re.I,
)
_STYLE = re.compile(r"\*\*(?!\s?[\d(])|(?<![\w)}])\*\*|__|`")
_CONNECTED = re.compile(r"\\(?:text|mbox|mathrm)\s{0,4}\{\s*(,?\s*(?:and|or))\s*\}")
_POWER = r"(?:\s?(?:\^\s?\{?\d\}?|[²³]))?"
_WORD = re.compile(
    r"\\(?:begin|end)\s?\{[a-z]{1,10}\*?\}|(?P<arrow>[∴⇒⟹]|\\(?:therefore|implies|Rightarrow|Longrightarrow)(?![a-z]))"
    r"|\\(?:text|mbox|textbf|textit|textrm|mathrm|operatorname)\s{0,4}\{(?P<text>[^{}]{2,200}|\s?[A-Za-z])\}"
    + _POWER
    + r"|(?<=[\d}\s)])\s{0,2}(?P<unit>(?:sq\.? |cubic )?(?:cm|mm|km|dm|kg|mg|ml|ft|lbs?|oz|mph|hrs?|mi|yd|km/h|m/s)"
    + _POWER
    + r")(?![A-Za-z])"
    r"|(?<![\\A-Za-z])(?P<prose>[A-Za-z]{3,}|of|is|to|in|it|at|on|an|as|by|be|do|he|if|me|my|no|so|we|am|Rs)(?![A-Za-z])"
    r"(?:['’][a-z]{1,3}|[,:](?=\s))?"
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_SPACE = re.compile(r"(?<!\\)\\[,;: ]|\\q?quad(?![A-Za-z])")
_MONEY = re.compile(r"(?<![A-Za-z])(?:USD|EUR|GBP|CHF|INR|US\\?\$|Rs\.?)\s?(?=[\d.])")
_MATH = re.compile(r"[\d=<>^+*/≤≥≠∞π√]|\\[A-Za-z]{2,}|[A-Za-z] - [A-Za-z]")
_TURNS = re.compile(r"\b(?:but|except|excluding|not|no|without|other|least|most|more|less|fewer|than)\b", re.I)
"""Words after which a number is not the answer: `all but 2`."""
_EDGES = " \t\n.,;:?=*→_`'\"\u00a0"
_NO_SPACE = re.compile(r"(?<!\d)\s|\s(?!\d)")
_BASE = re.compile(r"([0-9A-F]+)_\{?(\d{1,2})\}?")
_DECIMAL = re.compile(r"-?(?:[1-9]\d{0,2}(?:,\d{3})+|\d*)(?:\.\d+)?")
_INTERVAL = re.compile(r"[(\[][^,]{1,99},[^,]{1,99}[)\]]")
_INEQUALITY = re.compile(r"[<>]|\\[lg]eq?(?:slant)?(?![a-z])")
_TIME = re.compile(r"0?(?P<time>\d{1,2}:\d\d)\s?(?:(?P<half>[ap])\.?\s?m\.?)?", re.I)
_UNIT_NAMES = (
    "cm:cm mm:mm km:km dm:dm m:m in:in ft:ft mi:mi yd:yd g:g kg:kg mg:mg lb:lb oz:oz l:l ml:ml s:s min:min h:h hr:h "
    "day:day week:week centimeter:cm centimetre:cm millimeter:mm millimetre:mm kilometer:km kilometre:km meter:m "
    "metre:m inch:in inche:in foot:ft feet:ft mile:mi yard:yd gram:g kilogram:kg pound:lb ounce:oz liter:l litre:l "
    "second:s minute:min hour:h dollar:dollar cent:cent"
)
_UNITS = {name: unit for name, _, unit in (pair.partition(":") for pair in _UNIT_NAMES.split())}
"""Units of measure, without the plural's `s`: two of them that differ are not equal."""


class Stated(NamedTuple):
    """What a text states: an expression in LaTeX with the unit after it, if there is one; and its words."""

    latex: str = ""
    unit: str = ""
    words: str = ""


def mathematics(program: Mapping[str, Any]) -> Scorer:
    """Create the `math` scorer. math-verify's own time limits are off, because each row has a deadline anyway."""
    from math_verify import LatexExtractionConfig, parse, verify

    # Units are taken off before: math-verify takes `ab` of `2ab` for one.
    usual = LatexExtractionConfig()
    config = [replace(usual, normalization_config=replace(usual.normalization_config, units=False, boxed="none"))]

    @lru_cache(maxsize=256)
    def parsed(latex: str) -> list[Any]:
        return list(parse(f"${latex}$", config, fallback_mode="no_fallback", parsing_timeout=None))

    read_right = lru_cache(maxsize=256)(read_reference)

    def score(text: str, reference: str | None) -> Scored:
        right, answer = read_right(require_reference(reference)), stated(text)
        equal = _same(right, answer)
        if equal is None:
            sides = [parsed(right.latex), parsed(answer.latex)]
            if _INTERVAL.fullmatch(right.latex) and _INEQUALITY.search(answer.latex):
                sides.reverse()  # math-verify reads the first side's `(1, 2)` as a point
            equal = verify(*sides, timeout_seconds=None)
        reason = f"read '{answer.latex or answer.words:.80}'; the reference is '{right.latex or right.words:.80}'"
        return Scored(float(equal), None if equal else reason)

    return score


def read_reference(reference: str) -> Stated:
    """Return what a reference states. Raises GradeError if it is no expression, or a sentence around one."""
    expression, _ = _candidate(reference)
    parts = _parts(expression)
    if not _words(expression) and not parts:
        raise GradeError(f"the reference '{reference:.80}' cannot be read as mathematics")
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise GradeError(f"the reference '{reference:.80}' is longer than {MAX_EXPRESSION_CHARS} characters")
    is_long = not parts and len(_words(expression).split()) > MAX_WORDS
    if is_long or len(parts) > 1 or (parts and (parts[0].words or _TURNS.search(parts[0].unit))):
        raise GradeError(
            f"the reference '{reference:.80}' is a sentence: write its expression alone or in \\boxed{{}}, or compare "
            "it with a grader of texts"
        )
    return stated(reference)


def stated(text: str) -> Stated:
    """Return what the text states as its answer: in a sentence the first expression after `the answer is`, else the
    last one.
    """
    expression, is_led = _candidate(text)
    parts = _parts(expression)
    if not parts:
        return Stated(words=_words(expression))
    part = parts[0] if is_led else parts[-1]
    if _TURNS.search(f"{part.words} {part.unit}") or (len(parts) > 1 and "to" in (part.words, part.unit)):
        return Stated(words=_words(expression))
    base = _BASE.fullmatch(part.latex)
    words = _words(expression)
    return Stated(base[1], f"base {base[2]}", words) if base else part._replace(words=words)


def _candidate(text: str) -> tuple[str, bool]:
    """Return the stretch of the text that holds its answer, and whether it begins with it."""
    said = in_one_notation(answer_of(text)[0])
    found = boxed_values(said)
    if found:
        return _joined(said, found), True
    hashes = after_hashes(said)
    if hashes is not None:
        return hashes, True
    tails = [_tail(said[led.end() : led.end() + 1500]) for led in list(_STATED.finditer(said))[-4:]]
    with_math = [tail for tail in tails if _parts(tail)]
    if with_math:
        return with_math[-1], True
    line = said.rpartition("\n")[2].strip()
    in_line = _parts(line)
    delimited = _delimited(said)
    if delimited and (delimited[-1][2] > len(said) - len(line) or len(in_line) != 1 or in_line[0].words):
        return _joined(said, delimited), True
    return (tails[-1], True) if tails and tails[-1] and not in_line else (line, False)


def _tail(text: str) -> str:
    """Return what is stated at the beginning of the text: its delimited expressions, or its first sentence."""
    text = text.lstrip(" \n*_:")
    delimited = _delimited(text)
    if delimited and not text[: delimited[0][0]].strip(" *_("):
        return _joined(text, delimited, last=False)
    return re.split(r"[.!?;](?:\s|\Z)|\n", text, maxsplit=1)[0]


def _delimited(text: str) -> list[tuple[int, str, int]]:
    return [
        (found.start(), next(part for part in found.groups() if part is not None), found.end())
        for found in _DELIMITED.finditer(text)
    ]


def _joined(text: str, found: list[tuple[int, str, int]], *, last: bool = True) -> str:
    """Join the last (or first) of the expressions with those it is listed with: `$x=1$ or $x=2$`."""
    ordered = found[::-1] if last else found
    group = [ordered[0]]
    for one in ordered[1:]:
        first, second = (one, group[-1]) if last else (group[-1], one)
        if not JOINT.fullmatch(text, first[2], second[0]):
            break
        group.append(one)
    return ", ".join(dict.fromkeys(content for _, content, _ in (group[::-1] if last else group)))


def _parts(expression: str) -> list[Stated]:
    """Split a stretch at its words. `words` of a part are those before it, `unit` is the word after it."""
    text = _STYLE.sub("", _CONNECTED.sub(r" \1 ", _SPACE.sub(" ", _MONEY.sub("", expression))))
    if len(text) > MAX_EXPRESSION_CHARS:
        return []
    words = [
        found for found in _WORD.finditer(text) if found.lastgroup and found[found.lastgroup].lower() not in FUNCTIONS
    ]
    if not words:
        latex = _latex(text)
        return [Stated(latex)] if latex else []
    parts: list[Stated] = []
    before: list[str] = []
    place = 0
    for found in (*words, None):
        segment = text[place : None if found is None else found.start()]
        follows = bool(_MATH.search(segment))
        if follows:
            parts.append(Stated(_latex(segment), "", " ".join(before)))
            before = []
        if found is not None:
            word = (found["text"] or found["unit"] or found["prose"] or "").strip()
            if word and follows and segment.rstrip()[-1:] not in (",", ".", ";", ":"):
                parts[-1] = parts[-1]._replace(unit=_unit(found[0], word))
            before += [word] if word else []
            place = found.end()
    return [part for part in parts if part.latex]


def _latex(segment: str) -> str:
    text = re.sub(r"^\s*(?:(?:and|or)\b|\\approx(?![a-z])|≈)|\b(?:and|or)\s*$", "", segment.strip(_EDGES)).strip(_EDGES)
    return as_latex(text)


def _unit(written: str, word: str) -> str:
    """Write a unit in one way: `\text{ centimeters}^2` becomes `cm^2`."""
    name = word.casefold().strip(" .").removesuffix("s") if len(word) > 2 else word.strip()
    power = re.search(r"(?:\^\s?\{?(\d)\}?|([²³]))\s*$", written)
    name = re.sub(r"\s?\^?\s?[\d²³]$", "", _UNITS.get(name, name)) if power else _UNITS.get(name, name)
    return f"{name}^{power[1] or ' 23'['²³'.index(power[2]) + 1]}" if power else name


def _words(expression: str) -> str:
    text = re.sub(r"\\(?:text|mbox|math)[a-z]{0,4}\s?\{|\\[A-Za-z]+", " ", expression)
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _same(right: Stated, answer: Stated) -> bool | None:
    """Decide what needs no mathematics; None if it does."""
    if not (right.latex and answer.latex):
        return bool(right.words) and right.words == answer.words
    if _other_unit(right.unit, answer.unit) or _other_kind(_kind(right.latex), _kind(answer.latex)):
        return False
    if _NO_SPACE.sub("", right.latex) == _NO_SPACE.sub("", answer.latex):
        return True
    time = _TIME.fullmatch(f"{right.latex} {right.unit}".strip())
    if time and ":" in answer.latex:  # math-verify takes it for a ratio
        other = _TIME.fullmatch(f"{answer.latex} {answer.unit}".strip())
        return other is not None and other["time"] == time["time"] and _alike(time["half"], other["half"])
    numbers = [_decimal(one.latex) for one in (right, answer)]
    return numbers[0] == numbers[1] if None not in numbers else None


def _alike(half: str | None, other: str | None) -> bool:
    """Return whether the halves of the day, `a` or `p`, do not differ. One may be left out."""
    return half is None or other is None or half.casefold() == other.casefold()


def _other_unit(right: str, answer: str) -> bool:
    def is_known(unit: str) -> bool:
        return unit.partition("^")[0] in _UNITS.values() or unit.startswith("base ")

    return right != answer and is_known(right) and is_known(answer)


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


def _decimal(latex: str) -> Fraction | None:
    return Fraction(latex.replace(",", "")) if _DECIMAL.fullmatch(latex) and latex[-1:].isdigit() else None
