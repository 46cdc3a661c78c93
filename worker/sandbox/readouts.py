"""Inside: how a grader reads a reference, told instead of a score, as JSON in the reason.

It has the fields of `Readout` (backend/verifiers/readouts.py). Each function stands for the scorer of its kind and uses
the same reader.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from worker.sandbox.choice import finder
from worker.sandbox.latex import in_one_notation
from worker.sandbox.mathematics import read_reference
from worker.sandbox.number import reference_reader, shown
from worker.sandbox.scorers import GradeError, Scored, Scorer

MAX_CHARS = 200


def _number(program: Mapping[str, Any]) -> Scorer:
    read = reference_reader(program)

    def tell(text: str, _reference: str | None) -> Scored:
        found = read(text)
        return _told(shown(found.value), part=found.written)

    return tell


def _mathematics(_program: Mapping[str, Any]) -> Scorer:
    def tell(text: str, _reference: str | None) -> Scored:
        found, rewritten = read_reference(text), in_one_notation(text)
        part = f"{found.latex or found.words} {found.unit}".strip()
        return _told(found.latex or found.words, part=part, rewritten=None if rewritten == text else rewritten)

    return tell


def _choice(program: Mapping[str, Any]) -> Scorer:
    find = finder(program["choices"])

    def tell(text: str, _reference: str | None) -> Scored:
        found = find(text)
        if found is None:
            raise GradeError("it is none of the choices")
        return _told(found, part=found)

    return tell


READERS: Mapping[str, Callable[[Mapping[str, Any]], Scorer]] = {
    "number_readout": _number,
    "math_readout": _mathematics,
    "choice_readout": _choice,
}
"""By the kind of the program, which has the options of the scorer."""


def _told(read: str, *, part: str, rewritten: str | None = None) -> Scored:
    told = {"read": read, "part": part} | ({} if rewritten is None else {"rewritten": rewritten})
    return Scored(1.0, json.dumps({name: text[:MAX_CHARS] for name, text in told.items()}))
