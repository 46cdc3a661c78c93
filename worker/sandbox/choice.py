r"""Inside: the `choice` grader. Which of several choices a text settles on, by the clearest sign it gives.

A text is first reduced to what it says: the last `<answer>`, or what follows the reasoning, without the marks of LaTeX,
markdown and JSON. Then the signs of `_Reader` are tried in order; the first that is there decides. A list of choices is
no answer, and neither is one that is denied.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from worker.sandbox.choice_languages import WRONG_IN_LANGUAGES
from worker.sandbox.choice_style import PICTURE, scale_of, unstyled
from worker.sandbox.choice_words import (
    ADVERB,
    CONDITION,
    DEGREE,
    DENIED,
    ENDS,
    HEADING,
    INTRODUCED,
    LISTED,
    MARK,
    MISTAKEN,
    NAMES,
    NOUN,
    ONLY,
    OPEN,
    REASON,
    RIGHT,
    SHUT,
    SMALL_ENDS,
    STATES,
    TEXT,
    VERB,
    VERDICT,
)
from worker.sandbox.marked import answer_of, boxes
from worker.sandbox.scorers import GradeError, Scored, Scorer, require_reference

MOST_SIGNS = 500
"""Choices stated, or called right, that are looked at: the last ones, since an answer is at the end of a text."""

# Everything here that repeats is bounded: a model may write a hundred thousand asterisks.
_BRACKETED = re.compile(r"\[\[([^\[\]\n]{0,200})\]\]")
_JOINED = re.compile(r"[ ]*|[\s,;/.]*(?:[,;/&]|\bor\b|\band\b)\s*", re.I)
_DENIAL = re.compile(
    r"\b(?:not|never|none(?!\s{1,4}of\s{1,4}the\s{1,4}above)|neither|nor|cannot|whether|if|unlikely|least|worst|doubt|wrong|incorrect|false|except|besides"
    r"|(?:other|rather)\s{1,4}than|instead\s{1,4}of|eliminat\w{1,4}|reject\w{0,3}|suppos\w{1,3}|assum\w{1,4}|imagine"
    r"|(?<!\bI )(?<!\bwe )(?:might|may|could|would)\s{1,4}(?:think|say|guess|believe|assume|expect|answer)"
    rf"|tempt\w{{1,4}}|friend|\w{{1,8}}n['’]t)\b|[不勿]|并非|{MISTAKEN}|{WRONG_IN_LANGUAGES}",
    re.I,
)
_ALL_BUT = re.compile(r"\b(?:all|any\w{0,5}|every\w{0,5}|no\w{0,5})\s{1,4}but\b\W{0,8}\Z", re.I)
_CLAUSE = re.compile(r"[.!?:;,。\n]|\b(?:so|thus|hence|therefore|but)\b", re.I)


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


def finder(choices: Sequence[str]) -> Callable[[str], str | None]:
    """Return a function that finds the choice a text states as its answer; None if it states none, or several."""
    names = {unstyled(name).strip().casefold() or name.casefold(): name for name in choices}
    reader = _Reader(sorted(names, key=len, reverse=True))
    scale, has_pictures = scale_of(choices), any(map(PICTURE.search, choices))

    def find(text: str) -> str | None:
        said, is_tagged = answer_of(text)
        plain = unstyled(said if has_pictures else PICTURE.sub("", said))
        plain = plain if scale is None else scale.sub("", plain)
        found = said.casefold() if said.casefold() in names else reader.read(plain, framed=is_tagged)
        return None if found is None else names[found]

    return find


def _denied(text: str, place: int) -> bool:
    """Return whether the clause, up to the place, denies what follows, or a condition goes before it."""
    before = text[max(0, place - 80) : place].rstrip(": ")
    if _DENIAL.search(_CLAUSE.split(before)[-1]) or _ALL_BUT.search(before):
        return True
    return CONDITION.search(text[max(0, place - 200) : place]) is not None


class _Reader:
    """The signs by which a text without style states one of the labels, which are in lower case."""

    def __init__(self, labels: Sequence[str]) -> None:
        one_of = "|".join(map(re.escape, labels))
        label = rf"{OPEN}(?P<label>{one_of})(?:(?!\w)|(?=です|だ|입니다|이다))"
        self._listed = re.compile(LISTED.format(open=OPEN, shut=SHUT, verb=VERB, labels=one_of), re.I)
        self._list_before = re.compile(rf"(?<!\w)(?:{one_of})\W{{0,8}}(?:,|/|\bor\b|\band\b)\W{{0,8}}\Z", re.I)
        self._label = re.compile(rf"(?<!\w)(?P<label>{one_of})(?!\w)", re.I)
        self._alone = re.compile(
            rf"\s{{0,8}}(?:(?:[>•\-→⇒∴✅✔👉]|[=-]>)\s{{1,4}})?{NOUN}{OPEN}{NOUN}{label}{SHUT}[.:;!]?{SHUT}"
            r"\s{0,8}[✅✔👍]?\s{0,8}",
            re.I,
        )
        self._framed = re.compile(rf"\s{{0,8}}{NOUN}{label}{DENIED}{SHUT}{ENDS}{TEXT})", re.I)
        not_but = rf"\bnot\s{{1,4}}{OPEN}(?:{one_of}){SHUT},?\s{{1,4}}but\s{{1,4}}"
        self._in_brackets = re.compile(rf"[^\n?]{{1,80}}\s\({NOUN}(?P<label>{one_of})\)[.!]?\s{{0,8}}", re.I)
        are_letters = all(len(name) == 1 and name.isalpha() for name in labels)
        states = STATES if are_letters else f"(?:{STATES}|{NAMES})"
        self._stated = re.compile(
            rf"(?:{states}|{not_but}){ADVERB}(?:[✅✔☑👉➡]\s{{0,4}})?{NOUN}{label}{DENIED}{SHUT}{ENDS}{TEXT}|{RIGHT})",
            re.I,
        )
        self._right = re.compile(rf"(?<!\w)(?P<label>{one_of})(?!\w){SHUT}{RIGHT}", re.I)
        self._only_left = re.compile(rf"\bonly\s{{1,4}}{NOUN}{label}{SHUT}{ONLY}", re.I)
        reviewed = rf"\s{{0,8}}(?:[>•-]\s{{1,4}})?{NOUN}{OPEN}(?P<label>{one_of})(?!\w){SHUT}[.:]?"
        self._reviewed = re.compile(
            rf"{reviewed}(?:\s{{0,4}}|[^\n.]{{1,60}}\s?[-–—:(]\s{{0,4}}|[^\n]{{1,60}}\s(?=[✅✔✓☑❌✗✘])){VERDICT}", re.I
        )
        heading = r"(?!)" if are_letters else HEADING
        self._headed = re.compile(
            rf"\s{{0,8}}(?:-\s{{1,4}})?(?P<heading>{heading})\s?[:=]\s{{0,8}}{label}{SHUT}[.!]?\s{{0,8}}", re.I
        )
        over_another = rf",?\s{{1,4}}\(?(?:not|rather\s{{1,4}}than|instead\s{{1,4}}of)\s{{1,4}}{OPEN}(?:{one_of}){SHUT}"
        self._begins = re.compile(
            rf"\s{{0,8}}(?:[✅✔👉→]\s{{1,4}})?{NOUN}{label}"
            r"(?!\s?:\s?(?:wrong|incorrect)\b|\s{0,2}[-–—]\s{0,2}(?:no|not|wrong|incorrect|false)\b)"
            rf"(?:(?:{MARK}|(?<=[^\W\d_]{{2}})[,;!])(?:\s|$)|\)(?=[\w$\\-])|{REASON}|(?={over_another}\s{{0,4}}(?:[.!,;\n]|$)))",
            re.I,
        )
        self._degree = re.compile(rf"{DEGREE}{label}{SHUT}[.!]?\s{{0,4}}\Z", re.I)
        self._is_one = re.compile(
            rf"\b(?:is|are|was|were)\s{{1,8}}{ADVERB}(?:an?\s{{1,8}})?(?P<label>{one_of})\s{{0,4}}[.!]?\s{{0,4}}\Z",
            re.I,
        )

    def read(self, text: str, *, framed: bool) -> str | None:
        """Return the label by the first sign that is there. `framed`: nothing but the answer is to be expected."""
        frames = boxes(text) or [(found.start(), found[1], found.end()) for found in _BRACKETED.finditer(text)]
        if frames:
            _, content, _ = frames[-1]
            is_one = len(frames) == 1 or frames[-2][1] == content
            joined = not is_one and _JOINED.fullmatch(text, frames[-2][2], frames[-1][0])
            found = self._in_a_frame(content)
            if found is not None or any(self._meant(content, label) for label in self._label.finditer(content)):
                return None if joined else found
        signs = [self._as_a_whole, self._as_stated, self._on_its_own_line, self._called_right, self._in_a_review]
        signs += [self._at_a_line, self._under_a_heading, self._after_its_text, self._in_a_sentence]
        if framed and "\n" not in text:
            signs.insert(0, self._in_a_frame)
        return next((found for sign in signs if (found := sign(text)) is not None), None)

    def _in_a_frame(self, text: str) -> str | None:
        return self._only(text, self._alone.fullmatch(text) or self._framed.match(text))

    def _as_a_whole(self, text: str) -> str | None:
        return self._only(text, self._alone.fullmatch(text))

    def _as_stated(self, text: str) -> str | None:
        """Return the last that is stated and not denied: `The answer is A. No: the answer is B.`"""
        for found in reversed(deque(self._stated.finditer(text), maxlen=MOST_SIGNS)):
            if not _denied(text, found.start("label")) and not self._heads_a_list(text, found):
                label = self._only(text, found)
                if label is not None:
                    return label
        return None

    def _heads_a_list(self, text: str, found: re.Match[str]) -> bool:
        """Return whether the choices are listed in the lines after the statement, as in `Answer:` of a question."""
        place = found.end("label")
        _, newline, following = text[place : place + 300].partition("\n")
        return bool(newline and "\n" in text[found.start() : place] and self._begins.match(following))

    def _on_its_own_line(self, text: str) -> str | None:
        return _one(self._as_a_whole(line) for line in text.splitlines())

    def _called_right(self, text: str) -> str | None:
        called = (*self._right.finditer(text), *self._only_left.finditer(text))
        return _one(self._undenied(text, found) for found in called[-MOST_SIGNS:])

    def _in_a_review(self, text: str) -> str | None:
        """Return the only choice that a line calls right, if lines call the others wrong: `A) Wrong. B) Correct!`."""
        reviews = [found for line in text.splitlines() if (found := self._reviewed.match(line))]
        right = {found["label"].casefold() for found in reviews if found["right"]}
        wrong = {found["label"].casefold() for found in reviews if found["wrong"]}
        return right.pop() if len(right) == 1 and wrong and not right & wrong else None

    def _under_a_heading(self, text: str) -> str | None:
        """Return the only choice that a line gives after the name of a field: `Department: billing`."""
        found = (self._headed.fullmatch(line) for line in text.splitlines())
        return _one(one["label"].casefold() for one in found if one and not _DENIAL.search(one["heading"]))

    def _undenied(self, text: str, found: re.Match[str]) -> str | None:
        place = found.start()
        before = text[max(0, place - 80) : place]
        if _denied(text, place) or self._list_before.search(before):
            return None
        if len(found["label"]) == 1 and not INTRODUCED.search(before):
            return None  # `hepatitis B is the answer` names a choice's text
        return self._meant(text, found)

    def _at_a_line(self, text: str) -> str | None:
        """Return the only label with which lines begin, if the first or the last one does."""
        begun = [self._only(line, self._begins.match(line)) for line in text.splitlines() if line.strip()]
        return _one(begun) if begun and (begun[0] or begun[-1]) else None

    def _after_its_text(self, text: str) -> str | None:
        """Return the only label of a line that is all there is: `All of the above (D)`."""
        found = self._in_brackets.fullmatch(text)
        if found is None or _denied(text, found.start("label")):
            return None
        return _one(one["label"].casefold() for one in self._label.finditer(text) if not one["label"].islower())

    def _in_a_sentence(self, text: str) -> str | None:
        """Return the only word that is a sentence (`Yes.`) or its end (`The tone is positive.`), if the last one is."""
        said = [self._word_of(sentence) for sentence in re.split(r"(?<=[.!?])\s", text.rstrip())]
        return _one(said) if said[-1] else None

    def _word_of(self, sentence: str) -> str | None:
        found = self._is_one.search(sentence) or self._degree.match(sentence)
        label = self._as_a_whole(sentence) or (self._undenied(sentence, found) if found else None)
        return label if label is not None and len(label) > 1 and not re.search(r"\d", label) else None

    def _only(self, text: str, found: re.Match[str] | None) -> str | None:
        """Return the label, unless others follow it in a list."""
        if found is None or self._listed.match(text, found.end("label")):
            return None
        return self._meant(text, found)

    def _meant(self, text: str, found: re.Match[str]) -> str | None:
        """Return the label, unless it is a word of the sentence: a small letter counts in brackets or at an end."""
        label, end = found["label"], found.end("label")
        small = len(label) == 1 and label.islower()
        return None if small and not SMALL_ENDS.match(text[end : end + 12]) else label.casefold()


def _one(labels: Iterable[str | None]) -> str | None:
    """Return the label if there is exactly one, however often."""
    distinct = {label for label in labels if label is not None}
    return distinct.pop() if len(distinct) == 1 else None
