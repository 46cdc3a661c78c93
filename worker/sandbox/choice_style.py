"""Inside: what only says how a choice looks: marks of markdown and LaTeX, pictures, the scale of a mark."""

import re
from collections.abc import Sequence

from backend.verifiers.notation import usual_letters

_STYLE = re.compile(
    r"\\(?:text|math)[a-z]{0,4}\s{0,4}\{([^{}]*)\}|\\(?:left|right|q?quad)(?![A-Za-z])|\\[()\[\],;: !]"
    r"|\\(?=[\"'.&%#])|\\(_)"
    r"|~~[^~\n]{1,200}~~|</?(?:b|i|u|p|em|strong|code|choice|option)>"
    r"|[*`$“”„«»「」\"]|(?<!\w)_{1,3}(?=\w)|(?<=[^\W_])_{1,3}(?!\w)"
)
"""What only says how a text looks or where it begins."""
PICTURE = re.compile(
    r"[ ]?(?:(?![✅✔✓☑❌✗✘👍👎👉➡])[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]|[\ufe0f\u200d\u20e3])"
)
"""Pictures that say nothing about a choice: `B 😊`."""
_CONTRACTED = re.compile(r"\b(is|are|was|were)n['’]t\b", re.I)


def unstyled(text: str) -> str:
    """Return what a text says, without the marks of markdown, LaTeX and HTML."""
    return _CONTRACTED.sub(r"\1 not", _STYLE.sub(lambda found: found[1] or found[2] or "", usual_letters(text)))


def scale_of(choices: Sequence[str]) -> re.Pattern[str] | None:
    """Return what may follow a mark (`4/5`, `4 out of 5`), if the choices are the marks from 0 or 1 to the highest."""
    marks = sorted(int(name) for name in choices if name.isdecimal())
    if len(marks) != len(choices) or len(marks) < 3 or marks not in ([*range(len(marks))], [*range(1, len(marks) + 1)]):
        return None
    return re.compile(
        rf"(?<=\d)(?<![/.,]\d)\s?(?:/|\bout\s{{1,4}}of\b)\s?{marks[-1]}(?![\d/]|[.,]\d)(?:\s{{1,4}}(?:stars?|points?)\b)?",
        re.I,
    )
