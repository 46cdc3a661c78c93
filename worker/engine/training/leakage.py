"""What completions give away of a hint: words that only make sense with one, and its text.

Pure functions on texts.
"""

import math
import re
from collections.abc import Sequence

MENTIONS_REFERENCE = re.compile(
    r"\bhint\b|\banswer[ -]key\b|\b(reference|given|provided) (answer|solution)\b"
    r"|\baccording to the reference\b|\bthe reference( (says|states|gives|shows|tells)\b| *([.,:;]|$))|^ *reference *:",
    re.IGNORECASE | re.MULTILINE,
)
"""Text that mentions a reference which the student cannot see, but not text that is natural without one, such as "the
correct answer"."""
COPIED_WORDS = 8
"""Consecutive words of a hint that make a completion a copy."""


def mentioning_share(texts: Sequence[str]) -> float:
    """Return the share of texts that mention a reference; NaN for no texts."""
    return sum(bool(MENTIONS_REFERENCE.search(text)) for text in texts) / len(texts) if texts else math.nan


def copying_share(texts: Sequence[str], hints: Sequence[str]) -> float:
    """Return the share of texts with at least `COPIED_WORDS` consecutive words of their hint.

    Of those whose hint is that long; NaN if none is.
    """
    copies = [bool(runs & _runs(text)) for text, hint in zip(texts, hints, strict=True) if (runs := _runs(hint))]
    return sum(copies) / len(copies) if copies else math.nan


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[start : start + COPIED_WORDS]) for start in range(len(words) - COPIED_WORDS + 1)}
