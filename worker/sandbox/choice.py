r"""Inside: the `choice` grader. Which of several choices a text settles on, by the clearest sign it gives.

A text is first reduced to what it says: the last `<answer>`, or what follows the reasoning, without the marks of LaTeX,
markdown and JSON. Then the signs of `_Reader` are tried in order; the first that is there decides. A list of choices is
no answer, and neither is one that is denied.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from backend.verifiers.notation import usual_letters
from worker.sandbox.marked import answer_of, boxes
from worker.sandbox.scorers import GradeError, Scored, Scorer, require_reference

# Everything here that repeats is bounded: a model may write a hundred thousand asterisks.
_STYLE = re.compile(
    r"\\(?:text|math)[a-z]{0,4}\s{0,4}\{([^{}]*)\}|\\(?:left|right|q?quad)(?![A-Za-z])|\\[()\[\],;: !]|\\(?=[\"'])"
    r"|~~[^~\n]{1,200}~~|</?(?:b|i|u|p|em|strong|code)>|[*`$“”„«»\"]|(?<!\w)_{1,3}(?=\w)|(?<=[^\W_])_{1,3}(?!\w)"
)
"""What only says how a text looks or where it begins."""
_BRACKETED = re.compile(r"\[\[([^\[\]\n]{0,200})\]\]")
_JOINED = re.compile(r"[\s,;/.]*(?:[,;/&]|\bor\b|\band\b)\s*", re.I)
_DENIAL = re.compile(
    r"\b(?:not|never|none|neither|nor|cannot|whether|if|unlikely|least|worst|doubt|wrong|incorrect|false|except|besides"
    r"|(?:other|rather)\s{1,4}than|instead\s{1,4}of|eliminat\w{1,4}|reject\w{0,3}|suppos\w{1,3}|assum\w{1,4}|imagine"
    r"|(?:might|may|could|would)\s{1,4}(?:think|say|guess|believe|assume|expect|answer)|tempt\w{1,4}|friend"
    r"|\w{1,8}n['’]t)\b|[不勿]|并非",
    re.I,
)
_ALL_BUT = re.compile(r"\b(?:all|any\w{0,5}|every\w{0,5}|no\w{0,5})\s{1,4}but\b\W{0,8}\Z", re.I)
_CLAUSE = re.compile(r"[.!?:;,。\n]|\b(?:so|thus|hence|therefore|but)\b", re.I)
_ANSWER = (
    r"(?:(?<![^\W_])(?:answer|ans|choice|option|selection|response|letter|solution|verdict|correct|label|category"
    r"|prediction|antwort|lösung|réponse|respuesta|resposta|risposta|odpowiedź|ответ)|答案|故?选|正解|答え|정답)"
)
_IS = r"(?:is|was|are|would\s{1,8}be|must\s{1,8}be|should\s{1,8}be|=|ist|est|es|è|é)"
_ADVERB = (
    r"(?:(?:therefore|thus|hence|then|clearly|definitely|probably|indeed|most\s{1,8}likely|la|le)[,:]?\s{1,8}){0,2}"
)
_STATES = (
    rf"(?:{_ANSWER}\b(?:\s{{1,4}}(?:correcte|correcta|correta|corretta|finale?)\b)?[)'’\]]{{0,2}}"
    rf"(?:\s{{1,8}}(?:to|for)\s{{1,8}}(?:this|the|that)\s{{1,8}}(?:question|problem))?"
    rf"(?:\s{{1,8}}{_IS}(?!\w)\s{{0,8}}[:=]?|\s{{0,8}}[:=]|\s{{1,8}}[-–—]\s)|\bans\.|#{{4}}"
    r"|(?:答案|故?选|正解|答え|정답)(?:应该)?(?:是|为|选|は|은)?:?"
    r"|\b(?:(?:I|we)(?:['’](?:d|ll|m|ve|re))?|let['’]s|let\s{1,4}us)\s{1,8}(?:(?:would|will|am|have)\s{1,8})?"
    r"(?:choose|chose|chosen|pick|picked|select|selected|say|(?:think|believe|guess)(?:\s{1,4}that)?(?:\s{1,4}it(?:['’]s|\s{1,4}is))?"
    r"|(?:go|went|going)\s{1,8}with|(?:are\s{1,8})?left\s{1,8}with)\b\s{0,8}:?"
    r"|\b(?:it|that|this)(?:['’]s|\s{1,8}(?:is|(?:must|should|can\s{1,8}only|has\s{1,8}to)\s{1,8}be|leaves(?:\s{1,4}us\s{1,4}with)?))\b"
    r"(?:\s{1,8}only\b)?"
    r"|\b(?:actually|correction|scratch\s{1,4}that|I\s{1,4}mean|oops|no,?\s{1,4}wait|wait,?\s{1,4}no)\b[,:;.!\s–—-]{0,4}"
    r"|(?:^|[.!,\n]\s{0,8})(?:so|thus|hence|therefore|by\s{1,4}elimination)\b,?)\s{0,8}"
)
"""What a choice follows that is meant as the answer."""
_NOUN = (
    r"(?:(?:the\s{1,8})?(?:(?:final|correct|right|best)\s{1,8})?(?:option|opción|opção|choice|answer|letter)\s{1,8}"
    r"(?::\s{0,8})?)?"
)
_OPEN, _SHUT = r"[('‘\[{#<]{0,6}\s{0,4}", r"\s{0,4}[)'’\]}>]{0,6}"
_DENIED = r"(?!\s{0,2}[(\-–—:]\s{0,2}(?:wrong|incorrect|false|not?\b))"
_ENDS = (
    r"(?=\s{0,4}$|\s{0,4}\n|\s{0,4}(?:[。、]|[.!;:,)](?:\s|$|[a-z]{2}))|\s{0,4}\((?-i:[A-Z0-9\\])|です|だ|입니다|이다"
    r"|\s{1,4}[-–—]\s|\s{1,4}(?:because|since|as(?!\s{1,4}well)|for|with|over|based|due|given)\b"
)
_MARK = r"(?:[)'’\]}>]{1,6}[.:]?|[.:])"
_REASON = r"(?=,?\s{1,4}(?:because|since)\b|\s{1,4}[-–—]\s|\s{1,4}\((?-i:[A-Z0-9\\]))"
_SMALL_ENDS = re.compile(r"\s{0,2}(?:[)\]}'’;!\n]|[.:,](?!\w)|\Z)")
_TEXT = r"|(?<=[)\]}])\s{0,4}(?-i:[A-Za-z0-9\\])|\s{1,4}(?-i:[A-Z0-9\\])"
"""The text of a choice next to its label: `(B) the city`, `B Paris`."""
_VERB = r"\s{0,4}(?:is|are|was|would|seems?|can|could|does|do|looks?)"
_LISTED = (
    r"{shut}\s{{0,4}}(?:(?:[,、/|&+\-–—]|\bor\b|\band\b){{1,4}}\s{{0,8}}"
    r"(?:(?:or|and|maybe|perhaps|possibly|option)\b\s{{1,8}}){{0,3}}"
    r"|[;\n]{{1,4}}\s{{0,8}}(?!{open}(?:{labels}){shut}(?:{verb}\b|:))"
    r"|[.)]\s{{1,4}}(?={open}(?:{labels})[.)](?:\s|$))|(?<=[)\]}}])\s{{0,2}}(?=[(\[{{])|[ ]{{1,4}}(?=(?-i:[A-Z0-9])))"
    r"{open}(?-i:(?![a-z]\s))(?:{labels})(?!\w)"
    r"(?!{shut}(?:{verb}\b[^.\n]{{0,40}}\b(?:wrong|incorrect|not|false|out|impossible)\b"
    r"|\s{{0,4}}(?:(?:is|was|does|do|ca|would)n['’]t|think|believe|guess|am)\b))"
)
"""Another choice after one. A choice that is said to be wrong (`B, C is wrong`) is none of a list."""
_INTRODUCED = re.compile(
    r"(?:\A|[^\w\s]|\n|(?<!\w)(?:option|choice|answer|letter|statement|that|only|so|hence|thus|therefore|think|believe|then"
    r"|because|since|as|but|and|clearly|conclude))\s{0,8}[('\[]{0,4}\Z",
    re.I,
)
_RIGHT = (
    r"\s{1,8}(?:is|would\s{1,8}be|must\s{1,8}be)\s{1,8}(?:(?:the|clearly|thus|therefore|hence|then|indeed|definitely|most)\s{1,8}){0,2}"
    r"(?:correct|right|best|true|answer)\b(?!\s{0,2}\?)"
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


def finder(choices: Sequence[str]) -> Callable[[str], str | None]:
    """Return a function that finds the choice a text states as its answer; None if it states none, or several."""
    names = {_unstyled(name).strip().casefold() or name.casefold(): name for name in choices}
    reader = _Reader(sorted(names, key=len, reverse=True))

    def find(text: str) -> str | None:
        said, is_tagged = answer_of(text)
        found = said.casefold() if said.casefold() in names else reader.read(_unstyled(said), framed=is_tagged)
        return None if found is None else names[found]

    return find


def _unstyled(text: str) -> str:
    return _STYLE.sub(lambda found: found[1] or "", usual_letters(text))


def _denied(text: str, place: int) -> bool:
    """Return whether the clause, up to the place, denies what follows."""
    before = text[max(0, place - 80) : place]
    return bool(_DENIAL.search(_CLAUSE.split(before)[-1]) or _ALL_BUT.search(before))


class _Reader:
    """The signs by which a text without style states one of the labels, which are in lower case."""

    def __init__(self, labels: Sequence[str]) -> None:
        one_of = "|".join(map(re.escape, labels))
        label = rf"{_OPEN}(?P<label>{one_of})(?:(?!\w)|(?=です|だ|입니다|이다))"
        self._listed = re.compile(_LISTED.format(open=_OPEN, shut=_SHUT, verb=_VERB, labels=one_of), re.I)
        self._list_before = re.compile(rf"(?<!\w)(?:{one_of})\W{{0,8}}(?:,|/|\bor\b|\band\b)\W{{0,8}}\Z", re.I)
        self._label = re.compile(rf"(?<!\w)(?P<label>{one_of})(?!\w)", re.I)
        self._alone = re.compile(
            rf"\s{{0,8}}(?:(?:[>•\-→⇒∴✅✔👉]|[=-]>)\s{{1,4}})?{_NOUN}{_OPEN}{_NOUN}{label}{_SHUT}[.:!]?{_SHUT}"
            r"\s{0,8}[✅✔👍]?\s{0,8}",
            re.I,
        )
        self._framed = re.compile(rf"\s{{0,8}}{_NOUN}{label}{_DENIED}{_SHUT}{_ENDS}{_TEXT})", re.I)
        self._stated = re.compile(rf"{_STATES}{_ADVERB}{_NOUN}{label}{_DENIED}{_SHUT}{_ENDS}{_TEXT}|{_RIGHT})", re.I)
        self._right = re.compile(rf"(?<!\w)(?P<label>{one_of})(?!\w){_SHUT}{_RIGHT}", re.I)
        self._begins = re.compile(
            rf"\s{{0,8}}{_NOUN}{label}(?!\s?:\s?(?:wrong|incorrect)\b)"
            rf"(?:(?:{_MARK}|(?<=[^\W\d_]{{2}})[,;!])(?:\s|$)|{_REASON})",
            re.I,
        )

    def read(self, text: str, *, framed: bool) -> str | None:
        """Return the label by the first sign that is there. `framed`: nothing but the answer is to be expected."""
        frames = boxes(text) or [(found.start(), found[1], found.end()) for found in _BRACKETED.finditer(text)]
        if frames:
            _, content, _ = frames[-1]
            joined = len(frames) > 1 and _JOINED.fullmatch(text, frames[-2][2], frames[-1][0])
            found = self._in_a_frame(content)
            if found is not None or any(self._meant(content, label) for label in self._label.finditer(content)):
                return None if joined else found
        signs = [self._as_a_whole, self._as_stated, self._on_its_own_line, self._called_right, self._at_a_line]
        if framed and "\n" not in text:
            signs.insert(0, self._in_a_frame)
        return next((found for sign in signs if (found := sign(text)) is not None), None)

    def _in_a_frame(self, text: str) -> str | None:
        return self._only(text, self._alone.fullmatch(text) or self._framed.match(text))

    def _as_a_whole(self, text: str) -> str | None:
        return self._only(text, self._alone.fullmatch(text))

    def _as_stated(self, text: str) -> str | None:
        """Return the last that is stated and not denied: `The answer is A. No: the answer is B.`"""
        last = None
        for found in self._stated.finditer(text):
            if not _denied(text, found.start("label")) and not self._heads_a_list(text, found):
                last = self._only(text, found) or last
        return last

    def _heads_a_list(self, text: str, found: re.Match[str]) -> bool:
        """Return whether the choices are listed in the lines after the statement, as in `Answer:` of a question."""
        place = found.end("label")
        _, newline, following = text[place : place + 300].partition("\n")
        return bool(newline and "\n" in text[found.start() : place] and self._begins.match(following))

    def _on_its_own_line(self, text: str) -> str | None:
        return _one(self._as_a_whole(line) for line in text.splitlines())

    def _called_right(self, text: str) -> str | None:
        return _one(self._undenied(text, found) for found in self._right.finditer(text))

    def _undenied(self, text: str, found: re.Match[str]) -> str | None:
        place = found.start()
        before = text[max(0, place - 80) : place]
        if _denied(text, place) or self._list_before.search(before):
            return None
        if len(found["label"]) == 1 and not _INTRODUCED.search(before):
            return None  # `hepatitis B is the answer` names a choice's text
        return self._meant(text, found)

    def _at_a_line(self, text: str) -> str | None:
        """Return the only label with which lines begin, if the first or the last one does."""
        begun = [self._only(line, self._begins.match(line)) for line in text.splitlines() if line.strip()]
        return _one(begun) if begun and (begun[0] or begun[-1]) else None

    def _only(self, text: str, found: re.Match[str] | None) -> str | None:
        """Return the label, unless others follow it in a list."""
        if found is None or self._listed.match(text, found.end("label")):
            return None
        return self._meant(text, found)

    def _meant(self, text: str, found: re.Match[str]) -> str | None:
        """Return the label, unless it is a word of the sentence: a small letter counts in brackets or at an end."""
        label, end = found["label"], found.end("label")
        small = len(label) == 1 and label.islower()
        return None if small and not _SMALL_ENDS.match(text[end : end + 12]) else label.casefold()


def _one(labels: Iterable[str | None]) -> str | None:
    """Return the label if there is exactly one, however often."""
    distinct = {label for label in labels if label is not None}
    return distinct.pop() if len(distinct) == 1 else None
