"""How a grader read a reference: the value, the part it was taken from, and what was left out. Pure."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from backend.verifiers.notation import plain
from backend.verifiers.record import ScoreRecord, ScoreStatus

CUT_CHARS = 40
"""Length from which `part` may be truncated."""
_COMMAND = re.compile(r"\\[A-Za-z]+")
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_CONNECTIVES = ("and", "or")
_LISTED = re.compile(r"[,/;|&\n]|\b(?:and|or)\b", re.I)
_GROUP_OR_DECIMALS = re.compile(r"\D*(\d{1,3})[.,](\d{3})(?![.,]?\d)\D*")


@dataclass(frozen=True, slots=True)
class Readout:
    """What a grader takes from a text: `read`, the value that it compares, from `part`.

    `rewritten`: the text in the notation of `part`, where the grader writes it so first.
    """

    read: str
    part: str
    rewritten: str | None = None


@dataclass(frozen=True, slots=True)
class ReadReference:
    """A reference as a grader reads it. `readout` is None if it cannot read it; `lost` is the text it left out."""

    grader: str
    reference: str
    readout: Readout | None
    lost: str = ""

    @property
    def read(self) -> str:
        return "" if self.readout is None else self.readout.read


def readout_of(record: ScoreRecord) -> Readout | None:
    """Return what a record of worker/sandbox/readouts.py tells; None if the text could not be read."""
    if record.status is not ScoreStatus.OK or record.reason is None:
        return None
    told = json.loads(record.reason)
    return Readout(told["read"], told["part"], told.get("rewritten"))


def lost_text(reference: str, readout: Readout) -> str:
    """Return what of a number or an expression the grader left out: words and numbers outside `part`."""
    text, part = plain(readout.rewritten or reference), plain(readout.part)
    missing = _tokens(text) - _tokens(part)
    if len(readout.part) >= CUT_CHARS or not missing:
        return ""
    before, found, after = text.rpartition(part)
    if not found:
        return " ".join(missing.elements())
    return " … ".join(piece.strip() for piece in (before, after) if _tokens(piece))


def lost_choices(reference: str, readout: Readout, *, choices: Sequence[str]) -> str:
    """Return the other choices that the reference lists."""
    names = {name.casefold() for name in choices} - {readout.read.casefold()}
    listed = [piece.strip(" ()[]{}*.$") for piece in _LISTED.split(reference)]
    return ", ".join(piece for piece in listed if piece.casefold() in names)


def read_alike(references: Sequence[ReadReference]) -> list[tuple[ReadReference, ReadReference]]:
    """Return pairs that a grader reads as the same value though they differ, one pair of each value.

    They differ in what was left out, or one is read as having three decimals where it may be a group of digits.
    """
    pairs: dict[tuple[str, str], tuple[ReadReference, ReadReference]] = {}
    first: dict[tuple[str, str], ReadReference] = {}
    for reference in references:
        if reference.readout is not None:
            key = (reference.grader, reference.read)
            known = first.setdefault(key, reference)
            if _differ(known, reference):
                pairs.setdefault(key, (known, reference))
    return list(pairs.values())


def may_be_grouped(reference: ReadReference) -> bool:
    """Return whether `12,000` was read as 12 and not as 12000."""
    found = _GROUP_OR_DECIMALS.fullmatch(plain(reference.reference))
    return found is not None and found[1] != "0" and reference.read.lstrip("-") != f"{found[1]}{found[2]}"


def _differ(one: ReadReference, other: ReadReference) -> bool:
    lost_differs = one.lost.casefold() != other.lost.casefold()
    return lost_differs or may_be_grouped(one) != may_be_grouped(other)


def _tokens(text: str) -> Counter[str]:
    tokens = Counter(token.casefold() for token in _TOKEN.findall(_COMMAND.sub(" ", text)))
    for word in _CONNECTIVES:
        del tokens[word]
    return tokens
