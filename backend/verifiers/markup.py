r"""Write HTML, and fractions as they are typeset or worded, in LaTeX: `10<sup>6</sup>`, `&minus;5`, `³⁄₄`, `2分の1`.

Standard library only: the sandbox loads it too.
"""

import html
import re

_ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[A-Za-z][A-Za-z0-9]{1,20});")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", "0123456789" * 2)
_DIGITS = r"\d{1,12}"
_REWRITES = (
    (re.compile(r"<(del|strike)>[^<>]{0,200}</\1>", re.I), ""),
    (re.compile(r"</?(?:b|strong|i|em|u|span|font|mark|code|small|big|tt)(?:\s[^<>]{0,120})?>", re.I), ""),
    (re.compile(r"<sup>\s?(\[[^<>]{1,20}\])\s?</sup>", re.I), r"\1"),  # a note
    (re.compile(rf"<sup>({_DIGITS})</sup>\s?[/⁄]\s?<sub>({_DIGITS})</sub>", re.I), r"\\frac{\1}{\2}"),
    (re.compile(r"<sup>([^<>]{1,40})</sup>", re.I), r"^{\1}"),
    (re.compile(r"<sub>([^<>]{1,40})</sub>", re.I), r"_{\1}"),
    (re.compile(rf"\^\{{?({_DIGITS})\}}?\s?[/⁄]\s?_\{{?({_DIGITS})\}}?"), r"\\frac{\1}{\2}"),
    (re.compile(r"(?<!\\)\{\s?([^{}\\]{1,40}?)\s?\\over\s?([^{}\\]{1,40}?)\s?\}"), r"\\frac{\1}{\2}"),
    (re.compile(rf"(?:(?<=\d)\s?[と又]\s?)?({_DIGITS})\s?[分분]\s?[の之의]\s?({_DIGITS})"), r"\\frac{\2}{\1}"),
)
_TYPESET = re.compile(r"([⁰¹²³⁴⁵⁶⁷⁸⁹]{1,6})\s?[⁄/∕]\s?([₀-₉]{1,6})")


def as_typed(text: str) -> str:
    """Write what HTML, small digits and words say about a number as it would be typed."""
    if "&" in text:
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    text = _TYPESET.sub(lambda found: rf"\frac{{{found[1].translate(_RAISED)}}}{{{found[2].translate(_RAISED)}}}", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text
