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
_QUESTION = (
    r"(?:\A|\n)\s{0,8}[*#]{0,4}\s?(?:Question|Problem|Q|Exercise|Instruction|Human|User|QUESTION|PROBLEM|HUMAN|USER|问题|题目|問題)"
    r"(?:\s?\d{1,3})?[*]{0,2}\s?[:.：]"
)
_ANOTHER_QUESTION = re.compile(_QUESTION)
"""What a base model goes on with after its answer, as the examples of its prompt do."""
_REMARK = (
    r"\n\s{0,8}[*#]{0,4}\s?(?i:(?:brief |short |detailed )?(?:explanation|reason|reasoning|rationale|justification)"
    r"|working|verification|check|note|confidence(?: level| score)?|certainty|解释|说明|理由|置信度)[*]{0,2}\s?[:：]"
)
_ABOUT_THE_ANSWER = re.compile(_REMARK)
"""What a text adds to an answer that it has given: `Explanation: …`, `Confidence: 95%`."""
_GOES_ON = re.compile(
    r"\b(?:wait|actually|oops|sorry|correction|corrected|mistake\w{0,2}|instead|should (?:be|have been)|total is)\b"
    r"|\n\s{0,8}[*#(]{0,4}\s?(?:(?:step|part)\b|[a-h]\))",
    re.I,
)
"""What shows that a remark corrects the answer, or that it is that of a step."""
_TO_FILL_IN = r"(?!(?i:(?:\\text\s?\{)?(?:your|the|final|answer|ans)\b|\\[lc]?dots|\.\.\.|…))"
_STATED = (
    r"(?:(?i:\banswer[* ]{0,4}(?:\s(?:is|=)(?!\w)|:))|答案(?:是|为|[:：]))[*: \t]{0,6}\n?"
    r"(?!\s|(?:not|in|to|an?|as|your|given|whether|what|which|(?:the )?one (?:of|that)|correct|right|wrong)\b"
    r"|[*#]{0,4}(?:Question|Problem|Q)\b|[^\n]{0,80}\?)[^\n]"
    r"|(?:\A|\n)\s{0,4}(?:#{1,6}\s{1,2}\*{0,2}|\*\*)(?i:(?:final )?answer)\*{0,2}[ \t]{0,4}\n\s{0,8}"
    r"(?!#|\*{0,2}(?:Question|Problem|Q)\b)\S"
)
_NOTHING_ELSE = (
    r"\A\s{0,8}[*$(]{0,3}(?:[A-Z](?:[.):]{1,2}[ ][^\n]{1,80}|[.)*:]{0,3})|(?i:yes|no|true|false)\b[^\w\n]{0,4}"
    r"|[-$€£]{0,2}\d(?:[\d.,/]{0,20}\d)?%?[*$)]{0,3}(?:[ ][A-Za-z]{1,12}\.?)?)[ \t]{0,4}"
)
_ANSWERED = re.compile(
    rf"(?:(?<!#)####[ \t]{{0,4}}[^\s#][^\n]{{0,200}}|{_NOTHING_ELSE})(?={_QUESTION}|{_REMARK})|{_STATED}"
    rf"|\\boxed\s{{0,4}}\{{\s{{0,4}}{_TO_FILL_IN}[^\s}}]|<(?i:(?:final_)?answer)>\s{{0,8}}{_TO_FILL_IN}[^\s<][^<]{{0,200}}</"
)
"""What shows that the question is answered: the answer is marked or stated, or all there is before something else."""
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,4}(?=\{)")


def answer_of(text: str) -> tuple[str, bool]:
    """Return the content of the last closed `<answer>`, else what follows the reasoning; and whether it is the former.

    Another question, or a remark on the answer, that follows it is no part of it.
    """
    text = _until_a_remark(_until_another_question(after_reasoning(text)))
    tagged = in_answer_tag(text)
    return (text, False) if tagged is None else (tagged, True)


def _until_another_question(text: str) -> str:
    """Return the text up to the first question after its answer. Questions that it numbers itself are its own steps."""
    answered = _ANSWERED.search(text)
    if answered is None:
        return text
    has_numbers = False
    for question in _ANOTHER_QUESTION.finditer(text):
        is_numbered = re.search(r"\d", question[0]) is not None
        if question.start() >= answered.end() and not (has_numbers and is_numbered):
            return text[: question.start()]
        has_numbers = has_numbers or is_numbered
    return text


def _until_a_remark(text: str) -> str:
    """Return the text up to what it says about its last answer, unless that corrects it or goes on."""
    ends = [found.end() for found in _ANSWERED.finditer(text)]
    remark = _ABOUT_THE_ANSWER.search(text, ends[-1] - 1) if ends else None
    return text if remark is None or _GOES_ON.search(text, remark.end()) else text[: remark.start()]


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
