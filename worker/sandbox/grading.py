"""Inside: runs one program (a verifier) over the rows of a batch, one frame per row. Standard library only.

A program is JSON: `{"kind": "python", ...}` (python_program.py) or `{"kind": "regex", ...}` with the options of that
scorer (scorers.py, number.py, choice.py, mathematics.py, library_scorers.py). A row is a line of JSON: of those
scorers, the text and its reference, or a list of references of which any one is right.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from worker.sandbox import frames, library_scorers, python_program, scorers
from worker.sandbox.choice import choice
from worker.sandbox.mathematics import mathematics
from worker.sandbox.number import number
from worker.sandbox.readouts import READERS
from worker.sandbox.scorers import GradeError, Scored
from worker.sandbox.scores import FATAL_ERRORS, FaultyRow, error_frame, frame, ms_since

RowGrader = Callable[[bytes], bytes]
Reference = str | list[str] | None
BatchGrader = Callable[[Sequence[bytes]], Iterator[bytes]]


def prepare(program: Mapping[str, Any]) -> BatchGrader:
    """Return a function from the lines of a batch to their frames."""
    if program["kind"] == "python":
        return python_program.prepare(program)
    best = min if program.get("operation") == "ne" else max  # unlike all of them, or like any
    row = _timed(_of_any(_SCORERS[program["kind"]](program), best=best))
    return lambda lines: map(row, lines)


_SCORERS: dict[str, Callable[[Mapping[str, Any]], scorers.Scorer]] = {
    "regex": scorers.regex,
    "string_check": scorers.string_check,
    "number": number,
    "choice": choice,
    "math": mathematics,
    "text_similarity": library_scorers.text_similarity,
    "json_schema": library_scorers.json_schema,
    **READERS,
}


def _of_any(score: scorers.Scorer, *, best: Callable[..., Scored]) -> Callable[[str, Reference], Scored]:
    """Return a scorer that takes the best score over several references; one that cannot be read is passed over."""

    def scored(text: str, reference: Reference) -> Scored:
        if not isinstance(reference, list):
            return _as_scored(score(text, reference))
        found, failures = [], []
        for each in reference:
            try:
                found.append(_as_scored(score(text, each)))
            except GradeError as error:
                failures.append(error)
        if not found:
            raise failures[0]
        return best(found, key=lambda one: one.score)

    return scored


def _as_scored(given: Scored | float) -> Scored:
    return Scored(given) if isinstance(given, float) else given


def _timed(score: Callable[[str, Reference], Scored]) -> RowGrader:
    def row(line: bytes) -> bytes:
        text, reference = json.loads(line)
        start = time.perf_counter()
        try:
            scored = score(text, reference)
        except GradeError as error:
            return error_frame(str(error), ms=ms_since(start))
        except Exception as error:  # noqa: BLE001 - a library failed on this text: an error of the row
            failed = error_frame(f"{type(error).__name__}: {error}", ms=ms_since(start))
            if isinstance(error, FATAL_ERRORS):
                raise FaultyRow(failed) from None
            return failed
        ms = ms_since(start)
        if scored.reason is None:
            return frames.number(scored.score, ms=ms)
        return frame(score=scored.score, status="ok", reason=scored.reason, ms=ms, stdout="")

    return row
