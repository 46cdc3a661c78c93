"""Forms of reference answers: which are numbers with units, expressions or lists, and which are alike in form. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from backend.verifiers.numerals import DecimalMark, Numeral, numerals

MAX_CHARS = 80
"""Longest reference that is taken for a number, an expression or a list."""
MAX_ELEMENT_WORDS = 3
_SIGNATURE_CHARS = 60

Span = tuple[int, int]

_DELIMITERS = ((r"\$\$", r"\$\$"), (r"\$", r"\$"), (r"\\\(", r"\\\)"), (r"\\\[", r"\\\]"), (r"\\boxed\{", r"\}"))
_WRAPPERS = tuple(re.compile(rf"\s*{start}(?P<inner>.+){end}\s*", re.S) for start, end in _DELIMITERS)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_PROSE = re.compile(r"[^\W\d_]{3,}")
_CONNECTIVES = {"and", "or"}
_FUNCTIONS = {
    *("exp", "gcd", "lcm", "log", "max", "min", "mod", "det", "deg", "sqrt", "sin", "cos", "tan", "cot", "sec", "csc"),
    *("sinh", "cosh", "tanh", "arcsin", "arccos", "arctan"),
}
_SEPARATOR = re.compile(r"\s*(?:[,;\n]\s*(?:(?:and|or)\b)?|\b(?:and|or)\b)\s*")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_ASSIGNED = re.compile(r"\s*[^\W\d_]\w*\s*=(?!=)")
_BEFORE = re.compile(r"[-+−–(\[{\s]*(?:(?:US)?\\?[$€£¥₹]|(?:EUR|USD|GBP|CHF)\b)?[-−\s]*")
_WORD = r"[ \-][^\W\d_]+(?:[/·][^\W\d_]+)?"
_AFTER = re.compile(rf"[)\]}}\s.]*(?:\\?%|\^?\\circ|°)?(?:st|nd|rd|th)?(?:{_WORD}){{0,2}}[)\]}}\s.]*")
_UNIT_GROUPS = (
    ("km", "m", "cm", "mm"),
    ("kg", "g", "mg"),
    ("km/h", "m/s", "mph"),
    ("h", "min", "s", "ms"),
    ("m/s^2", "cm/s^2"),
    ("m^2", "cm^2"),
    ("m²", "cm²"),
    ("m^3", "cm^3"),
    ("m³", "cm³"),
    ("l", "ml"),
    ("MW", "kW", "W"),
    ("GB", "MB", "kB"),
    ("°C", "°F"),
    ("€", "£"),
    ("EUR", "USD", "GBP"),
    ("euros", "dollars", "pounds"),
    ("kilometers", "meters", "centimeters"),
    ("kilograms", "grams"),
    ("days", "hours", "minutes", "seconds"),
)
UNITS: Mapping[str, Sequence[str]] = {
    unit: [other for other in group if other != unit] for group in _UNIT_GROUPS for unit in group
}
"""Common units, each with others of its kind."""


@dataclass(frozen=True, slots=True)
class NumberForm:
    """A single number, perhaps with a sign, a currency and a unit. `unit_at`: where the unit stands in the text."""

    numeral: Numeral
    unit_at: Span | None


def unwrapped(text: str) -> tuple[str, str, str]:
    """Return (before, inner, after): the text without the delimiters of LaTeX, and those."""
    before, after = "", ""
    while found := next((match for wrapper in _WRAPPERS if (match := wrapper.fullmatch(text))), None):
        inner = found["inner"]
        if "$" in inner or not _is_flat(inner):
            break
        before, text, after = before + text[: found.start("inner")], inner, text[found.end("inner") :] + after
    return before, text, after


def number_form(text: str, *, decimal_mark: DecimalMark, units: Iterable[str]) -> NumberForm | None:
    """Recognise a `plain` text that is one number (`5`, `x = 5`) with at most a unit or two words after it."""
    unit_at = _unit_span(text, units=units)
    end = len(text) if unit_at is None else unit_at[0]
    assigned = _ASSIGNED.match(text)
    start = assigned.end() if assigned else 0
    found = list(numerals(text[start:end], decimal_mark=decimal_mark))
    if len(found) != 1 or not _BEFORE.fullmatch(text[start : start + found[0].start]):
        return None
    numeral = found[0]._replace(
        start=start + found[0].start, digits_end=start + found[0].digits_end, end=start + found[0].end
    )
    return NumberForm(numeral, unit_at) if _AFTER.fullmatch(text, numeral.end, end) else None


def is_mathematical(text: str) -> bool:
    """Return whether a `plain` text has a digit and no prose, only names of one or two letters and of functions."""
    words = _PROSE.findall(_COMMAND.sub(" ", text))
    return any(letter.isdigit() for letter in text) and not any(
        word.casefold() not in _FUNCTIONS | _CONNECTIVES for word in words
    )


def elements(text: str, *, decimal_mark: DecimalMark, names: Sequence[str] = ()) -> list[Span]:
    """Return where the elements of a list stand in a `plain` text; nothing if it is none.

    Two words are no list (`Paris, France`) unless they are `names`; neither is an interval. Nested brackets are one
    element.
    """
    first, last = _inside_brackets(text)
    numbers = [(found.start, found.end) for found in numerals(text, decimal_mark=decimal_mark)]
    spans, start = [], first
    for found in _SEPARATOR.finditer(text, first, last):
        if not any(left < found.start() < right for left, right in numbers) and _is_flat(text[first : found.start()]):
            spans.append((start, found.start()))
            start = found.end()
    spans.append((start, last))
    parts = [text[left:right].strip() for left, right in spans]
    quoted = all(part[0] == part[-1] == '"' for part in parts if len(part) > 1)
    is_list = len(parts) > 1 and all(parts) and (quoted or _is_list(parts, names=names))
    return spans if is_list else []


def signature(text: str) -> str:
    """Return a text's form: digits as 9, words as a, the rest as it stands."""
    return re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", text.strip()[: 4 * _SIGNATURE_CHARS]))[:_SIGNATURE_CHARS]


def sample_of_forms(texts: Sequence[str], *, count: int) -> list[int]:
    """Return the places of at most `count` different texts, in turn from each form, so that rare forms are included."""
    first: dict[str, int] = {}
    for place, text in enumerate(texts):
        first.setdefault(text, place)
    of_form: dict[str, list[int]] = defaultdict(list)
    for text, place in first.items():
        of_form[signature(text)].append(place)
    in_turn = chain.from_iterable(zip_longest(*of_form.values()))
    return [place for place in in_turn if place is not None][:count]


def _unit_span(text: str, *, units: Iterable[str]) -> Span | None:
    stripped = text.rstrip(" .)]}")
    for unit in sorted(units, key=len, reverse=True):
        before = stripped.removesuffix(unit)
        if before != stripped and re.search(r"\d[\s\u00a0\u202f]*$", before):
            return len(before), len(stripped)
    return None


def _inside_brackets(text: str) -> Span:
    """Return where the content of brackets around the whole text stands; the whole text without such brackets."""
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    if text[first:].startswith(r"\{") and text[:last].endswith(r"\}") and _is_flat(text[first + 2 : last - 2]):
        return first + 2, last - 2
    if last - first > 1 and _BRACKETS.get(text[first]) == text[last - 1] and _is_flat(text[first + 1 : last - 1]):
        return first + 1, last - 1
    return first, last


def _is_flat(text: str) -> bool:
    """Return whether no bracket is open at the end, and none is closed that was not opened."""
    depth = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _is_list(parts: Sequence[str], *, names: Sequence[str]) -> bool:
    known = {name.casefold() for name in names}
    if all(is_mathematical(part) or len(part) == 1 or part.casefold() in known for part in parts):
        return True
    return len(parts) > 2 and all(len(part.split()) <= MAX_ELEMENT_WORDS for part in parts)
