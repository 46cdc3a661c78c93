"""Inside: `string_check` and `regex`, and what the built-in scorers share."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class GradeError(Exception):
    """A grading error; its text is the reason in the record."""


class Scored(NamedTuple):
    score: float
    reason: str | None = None


Scorer = Callable[[str, str | None], Scored | float]
"""(input, reference) -> score."""
_NO_REFERENCE = "the row has no reference answer to compare with"


def require_reference(reference: str | None) -> str:
    if reference is None:
        raise GradeError(_NO_REFERENCE)
    return reference


def regex(program: Mapping[str, Any]) -> Scorer:
    search = re.compile(program["pattern"], program["flags"]).search
    group = program["group"]

    def score(text: str, reference: str | None) -> float:
        found = search(text)
        if found is None:
            return 0.0
        if group is None:
            return 1.0
        answer = found[group]
        return float(require_reference(reference).strip() == answer.strip() if answer is not None else False)

    return score


def string_check(program: Mapping[str, Any]) -> Scorer:
    operation = program["operation"]

    def score(text: str, reference: str | None) -> float:
        right = require_reference(reference)
        if operation in ("eq", "ne"):
            return float((text == right) == (operation == "eq"))
        if not right:
            raise GradeError("the reference is empty, and every text contains the empty text")
        if operation == "ilike":
            return float(right.casefold() in text.casefold())
        return float(right in text)

    return score
