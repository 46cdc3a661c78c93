"""Inside: the only list of the tags by which models divide what they write: reasoning, answer, end of the turn."""

import re
from collections import deque
from collections.abc import Iterator

_REASONING = (
    r"(?:(?:longcat_)?think|thinking|thoughts?|reasoning|rationale|analysis|scratch_?pad|reflection|working_out"
    r"|chain[_ ]of[_ ]thought|cot|(?:thought|thinking|reasoning)[_ ]process|inner[_ ](?:thoughts?|monologue))"
)
_ANSWER = r"(?P<name>(?:final[_ -]?)?answer|ans|final|conclusion|box)"
_RESPONSE = r"(?P<name>solution|response|output|result)"
"""These hold a whole reply, and count only if the text ends with them."""
_OPENS = r"<\s?(?:\w{{1,10}}:)?{0}\s?>|\[{0}\]|◁{0}▷|<[|｜]?(?:begin|start)_(?:of_)?{0}[|｜]?>"
_SHUTS = r"<\s?/\s?(?:\w{{1,10}}:)?{0}\s?>|\[/{0}\]|◁/{0}▷|<[|｜]?end_(?:of_)?{0}[|｜]?>"
_FINAL_CHANNEL = (
    r"<\|channel\|>\s?final(?:\s?<\|constrain\|>\s?\w{1,20})?\s?<\|message\|>|<\|content\|>|(?<![A-Za-z])assistantfinal"
)
_HEADING = r"^(?:\*\*)?Here(?: is|['’]s) my {0}:(?:\*\*)?"
_REASONING_STARTS = re.compile(
    rf"{_OPENS.format(_REASONING)}|<\|think\|>|<\|channel>\s?{_REASONING}\b|{_HEADING.format('thought process')}",
    re.I | re.M,
)
_REASONING_ENDS = re.compile(
    f"{_SHUTS.format(_REASONING)}|{_FINAL_CHANNEL}|<channel\\|>|{_HEADING.format('response')}", re.I | re.M
)
_PAIRS = tuple(
    (
        re.compile(rf"<[|｜]?(?:(?:begin|start)_(?:of_)?)?{name}[|｜]?>", re.I),
        re.compile(rf"<(?:\s?/\s?|[|｜]?end_(?:of_)?){name}[|｜]?\s?>{rest}", re.I),
    )
    for name, rest in ((_ANSWER, ""), (_RESPONSE, r"\s{0,20}\Z"))
)
_SPECIAL = r"<[|｜](?!end_of_box)[A-Za-z][\w▁]{1,38}[|｜]>"
_ROLE = r"(?:assistant|model)(?=\s)"
_ENDS = (
    r"<[|｜](?:im_end|eot_id|eom_id|eot|endoftext|end_of_text|end_of_turn|return|end|call|endofturn|end_of_role"
    r"|end[▁_]of[▁_]sentence|END_OF_TURN_SPECIAL)[|｜]>|</s>\s{0,4}(?=<s>|\[INST\]|USER:)|<(?:end_of_turn|eos|pad|turn\||/longcat_s|SPECIAL_\d{1,3})>|\[EOS\]"
)
_TURN_STARTS = re.compile(
    rf"(?:\s{{0,8}}(?!{_ENDS})(?:<(?:s|bos|start_of_turn|\|turn|longcat_s)>|<\|(?:im_start|start_header_id|start)\|>|{_SPECIAL})(?:{_ROLE})?"
    r"){1,4}",
    re.I,
)
_TURN_ENDS = re.compile(rf"(?:(?:</s>|{_SPECIAL})\s{{0,8}}){{0,8}}(?:{_ENDS}|<\|im_start\|>|\Z)", re.I)


def after_reasoning(text: str) -> str:
    """Return what follows the reasoning, else what stands before it. Reasoning that is not closed is all there is."""
    ends = [found.end() for found in _REASONING_ENDS.finditer(text)]
    begins = _REASONING_STARTS.search(text) if ends else None
    said = _turn(text[ends[-1] :]) if ends else ""
    return said or (_turn(text[: begins.start()]) if begins else "") or _turn(text) or text.strip()


def without_reasoning(text: str) -> str:
    """Return what follows the reasoning, which may be nothing; the whole text if it has none that is closed."""
    ends = [found.end() for found in _REASONING_ENDS.finditer(text)]
    return text[ends[-1] :] if ends else text


def in_answer_tag(text: str) -> str | None:
    """Return the content of the last closed tag of an answer; None if there is none."""
    for starts, ends in _PAIRS:
        last = _last(ends.finditer(text))
        opened = last and _last(one for one in starts.finditer(text, 0, last.start()) if _is_alike(one, last))
        if last and opened:
            content = text[opened.end() : last.start()].strip()
            return in_answer_tag(content) or content
    return None


def _last(found: Iterator[re.Match[str]]) -> re.Match[str] | None:
    return next(iter(deque(found, maxlen=1)), None)


def _is_alike(one: re.Match[str], other: re.Match[str]) -> bool:
    return one["name"].casefold() == other["name"].casefold()


def _turn(text: str) -> str:
    """Return one turn of the model, without the tokens around it."""
    begins = _TURN_STARTS.match(text)
    text = text[begins.end() :] if begins else text
    ends = _TURN_ENDS.search(text)
    assert ends is not None  # at the latest where the text does
    return text[: ends.start()].strip()
