r"""Inside: where a text marks its answer: after the reasoning, in `<answer>`, in `\boxed{}`, after `####`."""

import re

_TAG, _TAG_END = re.compile("<answer>", re.I), re.compile("</answer>", re.I)
JOINT = re.compile(r"[\s.$]{0,8}(?:,|;|,?\s{0,4}\b(?:and|or)\b)[\s$]{0,8}")
"""What stands between the boxes of one answer: `\boxed{1} or \boxed{2}`."""
_MINUS = re.compile(r"(?<![\w)\]}%°.\-])[-−]\$?\Z")
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,4}(?=\{)")


def answer_of(text: str) -> tuple[str, bool]:
    """Return the content of the last closed `<answer>`, else what follows the reasoning; and whether it is the former.

    Reasoning that is not closed is all there is.
    """
    text = text.rpartition("</think>")[2].strip() or text.strip()
    ends = [match.start() for match in _TAG_END.finditer(text)]
    starts = [match.end() for match in _TAG.finditer(text, 0, ends[-1])] if ends else []
    return (text[starts[-1] : ends[-1]].strip(), True) if starts else (text, False)


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
    r"""Return the boxes, each with the minus right before it: `x = -\boxed{3}`."""
    return [
        (start, _negated(content) if _MINUS.search(text, max(0, start - 3), start) else content, end)
        for start, content, end in boxes(text)
    ]


def _negated(content: str) -> str:
    return f"-({content})" if re.search("[-+]", content) else f"-{content}"


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
