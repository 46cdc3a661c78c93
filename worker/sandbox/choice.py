"""Inside: the `choice` grader. Which of several choices a text settles on, by the clearest sign it gives."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker.sandbox.scorers import GradeError, Scored, Scorer, require_reference

# Bounded, as everything here that repeats: a model may write a hundred thousand asterisks.
_OPEN, _SHUT = r"[\s*_`\"'“‘(\[{$]{0,16}", r"[\s*_`\"'”’)\]}$]{0,16}"
_REST = r"(?=[^\w\s]|\s*$|\s*\n|\s+(?:because|since|as|for)\b)"
_ANOTHER = r"(?!" + _SHUT + r"(?:[,/;|&]|or\b|and\b)\s{0,16}(?:or\b|and\b)?" + _OPEN + r"(?:{choices})(?!\w))"
_NAMED = r"(?:(?:option|choice|answer)\s+)?"
_TAG, _TAG_END = re.compile("<answer>", re.I), re.compile("</answer>", re.I)
_STYLED = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|cannot|whether|if|unlikely|doubt|wrong|incorrect|false|eliminat\w{1,4}|\w{1,8}n['’]t)\b",
    re.I,
)


def choice(program: Mapping[str, Any]) -> Scorer:
    find = finder(program["choices"])

    def score(text: str, reference: str | None) -> Scored:
        right = find(require_reference(reference))
        if right is None:
            raise GradeError(f"the reference '{reference:.80}' is none of the choices")
        chosen = find(text)
        if chosen is None:
            return Scored(0.0, "the text states none of the choices as its answer")
        return Scored(float(chosen == right), f"chose {chosen}")

    return score


def _denied(text: str, place: int) -> bool:
    """Return whether the clause, up to the place, denies what follows."""
    clause = re.split(r"[.!?:;,\n]|\b(?:so|thus|hence|therefore|but)\b", text[max(0, place - 80) : place])[-1]
    return _DENIAL.search(clause) is not None


def _tagged(text: str) -> str:
    """Return the content of the last `<answer>` that is closed; the whole text if none is."""
    ends = [match.start() for match in _TAG_END.finditer(text)]
    starts = [match.end() for match in _TAG.finditer(text, 0, ends[-1])] if ends else []
    return text[starts[-1] : ends[-1]] if starts else text


def finder(choices: Sequence[str]) -> Callable[[str], str | None]:
    """Return a function that finds the choice a text states as its answer; None if it states none, or several.

    A final `<answer>` decides alone, and so does what follows the reasoning (`</think>`).
    """
    names = {name.casefold(): name for name in choices}
    one_of = "|".join(re.escape(name) for name in sorted(choices, key=len, reverse=True))
    another = _ANOTHER.replace("{choices}", one_of)
    boxed = re.compile(
        r"\\boxed\{\s*" + f"{_OPEN}{_NAMED}({one_of})(?!\\w){_SHUT}" + r"(?:[.:)][^{}]*)?\}",
        re.I,
    )
    stated = re.compile(
        r"\b(?:answer|choice|option|selection)\b[\"'”’*_`]*"
        r"(?:\s{1,16}(?:is|was)\b\s{0,16}[:=：]?|\s{0,16}[*_]*\s{0,16}[:=：])\s{0,16}(?:(?:option|choice)\s{1,16})?"
        f"{_OPEN}({one_of})(?!\\w){another}{_SHUT}{_REST}",
        re.I,
    )
    called_right = re.compile(
        rf"\b({one_of})\b{_SHUT}\s{{1,16}}(?:is|would be)\s{{1,16}}(?:(?:the|clearly)\s{{1,16}})?"
        r"(?:correct|right|best|true|answer)\b"
    )
    alone = re.compile(f"{_OPEN}{_NAMED}{_OPEN}({one_of}){_SHUT}[.:!]?{_SHUT}", re.I)
    begins = re.compile(rf"\s*[*_`($\[]*({one_of})[*_`$]*[).:\]][*_`)\]]*(?:\s|$)")
    list_before = re.compile(f"(?:{one_of})\\W*(?:,|/|\\bor\\b|\\band\\b)\\W*$")

    def find(text: str) -> str | None:
        text = text.rpartition("</think>")[2].strip() or text
        text = _STYLED.sub(r"\1", _tagged(text))
        whole = alone.fullmatch(text)
        if whole:
            return names[whole[1].casefold()]
        for pattern in (boxed, stated):
            found = [match[1] for match in pattern.finditer(text) if not _denied(text, match.start())]
            if found:
                return names[found[-1].casefold()]
        lines = [line for line in text.splitlines() if line.strip()]
        last = alone.fullmatch(lines[-1]) if lines else None
        if last:
            return names[last[1].casefold()]
        right = [
            match[1]
            for match in called_right.finditer(text)
            if not _denied(text, match.start())
            and not list_before.search(text[max(0, match.start() - 80) : match.start()])
        ]
        if right:
            return names[right[-1].casefold()]
        begun = {match[1] for line in lines if (match := begins.match(line))}
        if len(begun) == 1 and begins.match(lines[-1]):
            return names[begun.pop().casefold()]
        return None

    return find
