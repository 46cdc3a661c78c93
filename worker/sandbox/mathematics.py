r"""Inside: the `math` grader: the expression a text states against the reference's, compared by math-verify.

What math-verify gets is one bounded expression in LaTeX, never a text: in a text it would take the last number alone,
13 of `3\sqrt{13}` and 2 of `(1, 2)`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from worker.sandbox.equality import Stated, equal
from worker.sandbox.latex import FUNCTIONS, as_latex, in_one_notation
from worker.sandbox.marked import JOINT, after_hashes, answer_of, boxed_values
from worker.sandbox.measures import measure
from worker.sandbox.scorers import GradeError, Scored, Scorer, require_reference

MAX_EXPRESSION_CHARS = 400
MAX_WORDS = 6
"""Words of a reference without mathematics, such as `no solution`; with more of them it is a sentence."""

_DELIMITED = re.compile(
    r"\$\$([^$]{1,2000})\$\$|\\\[((?:[^\\]|\\(?![\[\]])){1,2000})\\\]|\\\(((?:[^\\]|\\(?![()])){1,2000})\\\)"
    r"|(?<![\\\d$])\$(?=[^\s$])([^$\n]{1,2000})(?<=[^\s\\])\$(?![\d$])"
)
_STATED = re.compile(
    r"\b(?:answer|ans|solution|result|antwort|lösung|réponse|respuesta|ответ)\b[^\n.:=：$\\\d]{0,60}?"
    r"(?:\b(?:is|ist|est|es)\b|[:=：])\s{0,8}[:：]?|答案(?:是|为)?[:：]?",
    re.I,
)
_FOREIGN = "\u0400-\u052f\u0590-\u06ff\u0900-\u0dff\u0e00-\u0eff\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3"
"""Letters of scripts that mathematics does not use."""
_STYLE = re.compile(r"\*\*(?!\s?[\d(])|(?<![\w)}])\*\*|__|`")
_OR, _AND = r"或者?|または|또는|(?<!\w)или(?!\w)", r"[和与且及]|(?<!\w)и(?!\w)"
_CONNECTED = re.compile(
    rf"\\(?:text|mbox|mathrm)\s{{0,4}}\{{\s*(?:(?P<word>,?\s*(?:and|or))|(?P<text_or>{_OR})|(?P<text_and>{_AND}))\s*\}}"
    rf"|(?P<or>{_OR})|(?<=[\d\s)}}$])(?:(?P<and>{_AND})|(?P<comma>[、，]))(?=[\s\d(\\$-])"
)
_POWER = r"(?:\s?(?:\^\s?\{?\d\}?|[²³]))?"
_WORD = re.compile(
    r"\\(?:begin|end)\s?\{[a-z]{1,10}\*?\}|(?P<arrow>[∴⇒⟹]|\\(?:therefore|implies|Rightarrow|Longrightarrow)(?![a-z]))"
    r"|\\(?:text|mbox|textbf|textit|textrm|mathrm|operatorname)\s{0,4}\{(?P<text>[^{}]{2,200}|\s?[^\W\d_])\}"
    + _POWER
    + r"|(?<=[\d}\s)])\s{0,2}(?P<unit>(?:sq\.? |cubic )?(?:cm|mm|km|dm|kg|mg|ml|ft|lbs?|oz|mph|hrs?|mi|yd|km/h|m/s)"
    + _POWER
    + r")(?![A-Za-z])"
    r"|(?<![\\A-Za-z])(?P<prose>[A-Za-z]{3,}|of|is|to|in|it|at|on|an|as|by|be|do|he|if|me|my|no|so|we|am|Rs)(?![A-Za-z])"
    r"(?:['’][a-z]{1,3}|[,:](?=\s))?"
    rf"|(?P<foreign>[{_FOREIGN}]{{1,60}}|[A-Za-z]{{0,20}}[À-ÖØ-öø-ɏ][A-Za-zÀ-ÖØ-öø-ɏ]{{0,20}}){_POWER}"
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_SPACE = re.compile(r"(?<!\\)\\[,;: ]|\\q?quad(?![A-Za-z])")
_MONEY = re.compile(r"(?<![A-Za-z])(?:USD|EUR|GBP|CHF|INR|US\\?\$|Rs\.?)\s?(?=[\d.])")
_MATH = re.compile(r"[\d=<>^+*/≤≥≠∞π√]|\\[A-Za-z]{2,}|[A-Za-z] - [A-Za-z]")
_TURNS = re.compile(
    r"\b(?:but|except|excluding|not|no|without|other|least|most|more|less|fewer|than|не|кроме|более|менее|больше|меньше)\b"
    r"|[不非除]|超过|大于|小于|多于|少于|至少|至多|最多|以[上下外]",
    re.I,
)
"""Words after which a number is not the answer: `all but 2`."""
_TO = {"to", "到", "至", "до"}
_EDGES = " \t\n.,;:?=*→_`'\"\u00a0。，；：！？"
_COMPARED = re.compile(r"[<>≤≥]|\\[lg]eq?(?:slant)?(?![a-z])")
_ALONE = re.compile(r"^\s*(?:(?:and|or)\b|\\approx(?![a-z])|≈)|\b(?:and|or)\s*$")
_BEGINS = re.compile(rf"(?:(?!\.\d)[{_EDGES}])*")
_PICTURES = re.compile(r"[ ]?[\u2705\u2714\u2728\u2b50\U0001f300-\U0001faff]\ufe0f?")
"""What may follow an expression: `12 ✅`."""
_BASE = re.compile(r"([0-9A-F]+)_\{?(\d{1,2})\}?")


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

    def verified(right: str, answer: str) -> tuple[bool, Sequence[Any]]:
        sides = [parsed(right), parsed(answer)]
        return bool(verify(*sides, timeout_seconds=None)), [side[0] if side else None for side in sides]

    def score(text: str, reference: str | None) -> Scored:
        right, answer = read_right(require_reference(reference)), stated(text)
        is_equal = equal(right, answer, verify=verified)
        reason = f"read '{answer.latex or answer.words:.80}'; the reference is '{right.latex or right.words:.80}'"
        return Scored(float(is_equal), None if is_equal else reason)

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
    if _TURNS.search(f"{part.words} {part.unit}") or (len(parts) > 1 and _TO & {part.words, part.unit}):
        return Stated(words=_words(expression))
    base = _BASE.fullmatch(part.latex)
    words = _words(expression)
    return Stated(base[1], f"base {base[2]}", words) if base else part._replace(words=words)


def _candidate(text: str) -> tuple[str, bool]:
    """Return the stretch of the text that holds its answer, and whether it begins with it."""
    said = in_one_notation(_PICTURES.sub("", answer_of(text)[0]))
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
    group, are_alternatives = [ordered[0]], False
    for one in ordered[1:]:
        first, second = (one, group[-1]) if last else (group[-1], one)
        if not (joint := JOINT.fullmatch(text, first[2], second[0])):
            break
        are_alternatives = are_alternatives or re.search(r"\bor\b", joint[0]) is not None
        group.append(one)
    contents = dict.fromkeys(content for _, content, _ in (group[::-1] if last else group))
    return (" or " if are_alternatives and _COMPARED.search(group[0][1]) else ", ").join(contents)


def _parts(expression: str) -> list[Stated]:
    """Split a stretch at its words. `words` of a part are those before it, `unit` is the word after it."""
    text = _STYLE.sub("", _CONNECTED.sub(_connective, _SPACE.sub(" ", _MONEY.sub("", expression))))
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
            word = "" if found["arrow"] else found[str(found.lastgroup)].strip()
            if word and follows and segment.rstrip()[-1:] not in (",", ".", ";", ":"):
                parts[-1] = parts[-1]._replace(unit=measure(found[0], word))
            before += [word] if word else []
            place = found.end()
    return [part for part in parts if part.latex]


def _connective(found: re.Match[str]) -> str:
    """Write the word or mark between two expressions in one way."""
    if found["comma"]:
        return ", "
    return f" {found['word'] or ('and' if found['text_and'] or found['and'] else 'or')} "


def _latex(segment: str) -> str:
    return as_latex(_stripped(_ALONE.sub("", _stripped(segment))))


def _stripped(segment: str) -> str:
    """Take the marks off the ends, but not the point of `.5`."""
    return _BEGINS.sub("", segment.rstrip(_EDGES), count=1)


def _words(expression: str) -> str:
    text = re.sub(r"\\(?:text|mbox|math)[a-z]{0,4}\s?\{|\\[A-Za-z]+", " ", expression)
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))
