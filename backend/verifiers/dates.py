"""Dates and times as references: which texts are one, and the same with a part changed. Pure."""

import re
from collections.abc import Iterator

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_WORD = r"[^\W\d_]{3,12}\.?"
_DAY = r"\d{1,2}(?:st|nd|rd|th|\.)?"
_FORMS = (
    r"\d{1,4}(?P<mark>[-/.])\d{1,2}(?P=mark)\d{1,4}(?:[T ]\d{1,2}:\d{2}(?::\d{2})?Z?)?",
    r"\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]\.?m\.?)?",
    rf"{_WORD} {_DAY},? \d{{4}}",
    rf"{_DAY} (?:of )?{_WORD},? \d{{4}}",
    rf"{_WORD} \d{{4}}",
    r"\d{4}年\d{1,2}月\d{1,2}日",
)
_DATE = re.compile("|".join(f"(?:{form})" for form in _FORMS), re.I)
_ENDS = {12, 23, 24, 28, 29, 30, 31, 59}
"""Numbers after which there may be no next month, hour, day or minute."""


def other_dates(text: str) -> Iterator[str]:
    """Yield the date or time of the text with one of its parts changed; nothing if it is none."""
    if not _DATE.fullmatch(text):
        return
    for found in re.finditer(r"(\d+)(?:st|nd|rd|th)?", text):
        value = int(found[1])
        other = value - 1 if value in _ENDS else value + 1
        yield f"{text[: found.start()]}{other:0{len(found[1])}d}{text[found.end() :]}"
    for found in re.finditer(r"[^\W\d_]+", text):
        if (month := _next_month(found[0])) is not None:
            yield text[: found.start()] + month + text[found.end() :]


def _next_month(word: str) -> str | None:
    for place, month in enumerate(_MONTHS):
        following = _MONTHS[(place + 1) % len(_MONTHS)]
        if word.casefold() == month.casefold():
            return following
        if word.casefold() == month[:3].casefold():
            return following[:3]
    return None
