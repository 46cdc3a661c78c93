r"""Write the notation of numbers in one way: `2{,}5 \times 10^{−3}` becomes `2,5 × 10^-3`. Standard library only.

The sandbox loads it too. What this leaves is read by numerals.py.
"""

import re
import unicodedata
from functools import lru_cache

from backend.verifiers.markup import as_typed

MAX_LETTERS = 4
"""One character of Unicode may stand for eighteen."""
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("−‐‑‒–﹣－", "-"),
        **dict.fromkeys("’‘ʼ′", "'"),
        **dict.fromkeys("·⋅∙✕", "×"),
        **dict.fromkeys("⁄∕", "/"),
        "٬": ",",
        "٫": ".",
        "∛": "√",
        "∜": "√",
        "∓": "±",
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", None),
    }
)


def _fraction(top: str, bottom: str, *, mixed: bool) -> str:
    """Write a fraction in one line, with the sign before it."""
    if bottom.startswith("-"):
        top, bottom = (top[1:] if top.startswith("-") else f"-{top}"), bottom[1:]
    return f"{' ' if mixed else ''}{top}/{bottom} "


_PART = r"-?\d{1,40}(?:[.,]\d{1,40}){0,8}"
_UNICODE = (
    (re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"), lambda found: "^" + found[0].translate(_RAISED)),
    (re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞↉])|(?<=[¼-¾⅐-⅞↉])"), " "),
)
_BRACE = re.compile(
    r"(?P<box>\\(?:boxed|fbox)\s{0,4}\{)|(?P<style>\\(?:(?:text|math)[a-z]{0,4}|mbox|operatorname|underline|emph)\s{0,4}\{)"
    r"|\\[{}]|(?P<open>\{)|(?P<close>\})"
)
_LATEX = (
    (re.compile(r"(?![0-9])\d"), lambda found: str(unicodedata.digit(found[0]))),
    (re.compile(r"\{([,.+-])\}"), r"\1"),
    (re.compile(r"(?<=\d),\s?\\!\s?(?=\d{3}(?!\d))"), ","),
    (re.compile(r"\\!"), ""),
    (re.compile(r"(?<=[.,]\d\d)[.,][-—]{1,2}(?![\w-])"), ""),
    (re.compile(r"(?<=\d)([.,])[-—]{1,2}(?![\w-])"), r"\g<1>00"),  # no cents: `1.250,-`
    (re.compile(r"\s?(?:\\[,;: ]|~|\\q?quad(?![A-Za-z]))\s?"), " "),
    (re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])"), ""),
    (re.compile(r"\\([$%€£#&_{}])"), r"\1"),
    (re.compile(r"\\(?:times|cdot|ast)(?![A-Za-z])"), "×"),
    (re.compile(r"\\pi(?![A-Za-z])"), "π"),
    (re.compile(r"\\sqrt(?:\[\d{1,3}\])?"), "√"),
    (re.compile(r"\\[pm]{2}(?![A-Za-z])"), "±"),
    (re.compile(r"\^\s?\{?\s?\\circ\s?\}?"), "°"),
    (re.compile(r"\\[()\[\]]"), " "),
    (
        re.compile(
            r"(?P<mixed>(?<=\d)\s?)?\\(?:[dtcs]|nice)?frac\s{0,4}"
            rf"(?:\{{\s{{0,4}}({_PART})\s{{0,4}}\}}|(\d))\s{{0,4}}(?:\{{\s{{0,4}}({_PART})\s{{0,4}}\}}|(\d))"
        ),
        lambda found: _fraction(found[2] or found[3], found[4] or found[5], mixed=found["mixed"] is not None),
    ),
    (re.compile(rf"(?<=-)\s?(?<!\\)\{{{{1,3}}\s?({_PART}(?:/{_PART})?)\s?\}}{{1,3}}"), r"\1"),
    (re.compile(r"(?<=[\d)])(\s?)\*\*\1(?=[-+(]?\s?\d)"), "^"),
    (re.compile(r"\^\s?[{(]\s{0,4}([-+]?\d{1,9})\s{0,4}[})]"), r"^\1"),
    (re.compile(r"\^\s(?=[-+]?\d)"), "^"),
)


def usual_letters(text: str) -> str:
    """Replace letters, digits and spaces that stand for usual ones, such as `Ｂ`, `５` and `½`, by those (NFKC).

    One by one: normalising a whole text takes quadratic time if it is full of combining marks.
    """
    return _NOT_ASCII.sub(lambda found: _usual(found[0]), text)


def _without_styles(text: str) -> str:
    r"""Write `5\text{ cm}^2` as `5  cm^2` and `\boxed{5}` as `:5 `; a space stays where numbers would join."""
    is_command: list[bool] = []  # of each brace that is open

    def write(found: re.Match[str]) -> str:
        if found["box"] or found["style"]:
            is_command.append(True)
            return ":" if found["box"] else "" if text[max(0, found.start() - 1) : found.start()] == "-" else " "
        if found["open"]:
            is_command.append(False)
        elif found["close"] and is_command and is_command.pop():
            before, after = text[found.start() - 1], text[found.end() : found.end() + 1]
            return " " if before.isdigit() or after.isalnum() else ""
        return found[0]

    return _BRACE.sub(write, text)


@lru_cache(maxsize=4096)
def _usual(letter: str) -> str:
    usual = unicodedata.normalize("NFKC", letter)
    return usual if len(usual) <= MAX_LETTERS else letter


def plain(text: str) -> str:
    """Write LaTeX, raised digits, fraction signs, and the many spaces, dashes and digits of Unicode in one way."""
    text = as_typed(text)
    for pattern, replacement in _UNICODE:
        text = pattern.sub(replacement, text)
    text = _without_styles(usual_letters(text.translate(_ALIKE)).translate(_ALIKE))
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    return text
