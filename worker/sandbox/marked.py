r"""Inside: where a text marks its answer: after the reasoning, in `<answer>`, in `\boxed{}`, after `####`."""

import re

from worker.sandbox.tags import after_reasoning, in_answer_tag

_GAP = r"(?:[ $}~]|\\(?:q?quad(?![a-z])|(?:text|mbox)\s?\{|[,;: ])){0,8}"
JOINT = re.compile(
    rf"{_GAP}(?:\.?\s{{0,4}}(?:[,;]|,?\s{{0,4}}\b(?:and|or)\b|[-+*/×]|\\(?:times|cdot)(?![a-z]))\s{{0,4}})?{_GAP}"
    r"(?:[A-Za-z]\w{0,2}\s?=\s?)?"
)
"""What stands between the boxes of one answer: `\boxed{1} or \boxed{2}`, `x = \boxed{1}, y = \boxed{2}`."""
_MINUS = re.compile(r"(?<![\w)\]}%°.\-])[-−]\$?\Z")
_POWER = r"\^\s?(?:\{[^{}]{1,40}\}|\d|\\?[A-Za-z]+)"
_ROOT = r"\\sqrt\s?\{[^{}]{1,40}\}"
_TERM = rf"(?:\d{{1,20}}(?:\.\d{{1,20}})?|\\pi|{_ROOT}|(?![aAI])[A-Za-z](?![A-Za-z]))(?:{_POWER})?"
_BEFORE = re.compile(rf"(?<![\w.,\\])(?:{_TERM}\s?(?:[+*/]|\\times|\\cdot)\s?|\d{{1,20}}(?:\.\d{{1,20}})?)\$?\Z")
_AFTER = re.compile(rf"\$?((?:{_POWER}|\\pi(?![a-z])|{_ROOT}|[inxyz](?![A-Za-z])|\s?[-+*/]\s?{_TERM}){{1,4}})")
_OPENED = re.compile(r"(?:\\sqrt(?:\[\w{1,4}\])?|\\[dtc]?frac\s?(?:\{[^{}]{1,40}\}\s?)?|[\w)}]{1,20}[\^_])\s?\{\s?\Z")
_CLOSED = re.compile(r"\s?\}(?:\s?\{[^{}]{1,40}\})?")
r"""What a box may stand in: `\sqrt{\boxed{7}}`, `\frac{\boxed{7}}{2}`, `x^{\boxed{7}}`."""
_ASKED_FOR = re.compile(r"[^\n=]{0,40}=")
"""What belongs to a box: `2\boxed{3}` is not 3. But in `2 + \boxed{3} = 5` the box is what was asked for."""
_ANOTHER_QUESTION = re.compile(
    r"((?<!#)####[ \t]{0,4}[^\s#][^\n]{0,200})\n\s{0,8}[*#]{0,4}\s?(?:Question|Problem|Q)(?:\s?\d{1,3})?[*]{0,2}\s?[:.]"
)
"""What a base model goes on with after its answer, as the examples of its prompt do."""
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,4}(?=\{)")


def answer_of(text: str) -> tuple[str, bool]:
    """Return the content of the last closed `<answer>`, else what follows the reasoning; and whether it is the former.

    A question that follows `#### 42` is no part of the answer.
    """
    text = after_reasoning(text)
    goes_on = _ANOTHER_QUESTION.search(text)
    text = text[: goes_on.end(1)] if goes_on else text
    tagged = in_answer_tag(text)
    return (text, False) if tagged is None else (tagged, True)


def boxes(text: str, *, limit: int = 8) -> list[tuple[int, str, int]]:
    r"""Return (start, content, end) of the last `\boxed{...}` that are closed, in order. Braces may be nested."""
    starts = [(match.start(), match.end()) for match in _BOX.finditer(text)][-limit:]
    found: list[tuple[int, str, int]] = []
    for place, brace in starts:
        end = _closing(text, brace)
        if end is not None and not (found and place < found[-1][2]):
            found.append((place, text[brace + 1 : end], end + 1))
    return found


def boxed_values(text: str) -> list[tuple[int, str, int]]:
    r"""Return the boxes, each with what belongs to it: `x = -\boxed{3}`, `\boxed{x}^2`."""
    return [_with_neighbours(text, *box) for box in boxes(text)]


def _with_neighbours(text: str, start: int, content: str, end: int) -> tuple[int, str, int]:
    before = text[max(0, start - 48) : start]
    if (opened := _OPENED.search(before)) and (closed := _CLOSED.match(text, end)):
        return start, f"{opened[0]}{content}{closed[0]}", closed.end()
    is_whole = _ASKED_FOR.match(text, end)
    first, after = (None, None) if is_whole else (_BEFORE.search(before), _AFTER.match(text, end))
    if first or (after and len(content) > 1 and not content.isdigit()):
        content = f"({content})"
    content = f"{first[0] if first else ''}{content}{after[1] if after else ''}"
    if _MINUS.search(before[: first.start()] if first else before):
        content = f"-({content})" if re.search("[-+]", content) else f"-{content}"
    return start, content, after.end() if after else end


def _closing(text: str, brace: int, *, limit: int = 4000) -> int | None:
    depth = 0
    for place in range(brace, min(len(text), brace + limit)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    return None


def after_hashes(text: str) -> str | None:
    """Return what the last line says after `####`, as GSM8K marks an answer."""
    _before, hashes, answer = text.rstrip().rpartition("####")
    return answer.strip() if hashes and answer.strip() and "\n" not in answer.strip() else None
