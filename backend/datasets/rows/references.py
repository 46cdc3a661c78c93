"""The reference of a row: what a verifier compares with, and what it was worked out by."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from backend.datasets.formats.json_lines import BadLineError
from backend.datasets.rows.accepted import accepted, alone, note_on_accepted
from backend.datasets.rows.messages import answer_of_messages, reply_of
from backend.datasets.rows.numbered import letter_of
from backend.datasets.rows.paths import text_at, text_of, value_at
from backend.datasets.rows.recognise import REFERENCES
from backend.datasets.rows.shape import Shape

ANSWER_MARK = "####"


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference of a row. `answer` is None if only the verifier knows it; `solution` is a worked solution.

    `accepted`: all right answers, `answer` first, where the row has a list of which any one is right.
    """

    answer: str | None
    solution: str | None = None
    trajectory: str | None = None
    accepted: tuple[str, ...] = ()

    @property
    def right(self) -> str | tuple[str, ...] | None:
        """What a verifier compares with: the answer, or a tuple of which any one is right."""
        return self.accepted or self.answer


def reference_of(item: Mapping[str, Any], *, shape: Shape) -> Reference:
    """Read the reference of a row by its file's shape. Raises BadLineError."""
    solution = text_at(item, shape.solution)
    trajectory = text_at(item, "trajectory")
    if shape.answer is None:
        return Reference(answer=None, solution=solution, trajectory=trajectory)
    is_reply = shape.answer == shape.question
    given = reply_of(item, column=shape.answer) if is_reply else value_at(item, shape.answer)
    if given is None:
        raise BadLineError("missing_answer", f"has no '{shape.answer}'")
    answer = None if is_reply else answer_of_messages(given, column=shape.answer)
    several = () if is_reply or answer is not None else accepted(item, path=shape.answer)
    if several:
        return Reference(answer=several[0], solution=solution, trajectory=trajectory, accepted=several)
    if answer is None and shape.first_choice is not None:
        answer = letter_of(item, shape=shape, first=int(shape.first_choice))
    answer = text_of(alone(given)) if answer is None else answer
    if shape.has_answer_mark:
        worked, answer = _split_at_mark(answer)
        solution = solution or worked or None
    if not answer.strip():
        raise BadLineError("empty_answer", f"has an empty answer in '{shape.answer}'")
    return Reference(answer=answer, solution=solution, trajectory=trajectory)


def _split_at_mark(answer: str) -> tuple[str, str]:
    """Return (text before the mark, answer after it); without a mark in the last line, the whole text is the answer."""
    worked, mark, tail = answer.rpartition(ANSWER_MARK)
    return (worked.strip(), tail.strip()) if mark and "\n" not in tail.strip() else ("", answer)


def right_answer_of(item: Mapping[str, Any]) -> str | tuple[str, ...] | None:
    """Return what a verifier compares with on a single row that belongs to no file, from the first known column."""
    path = next((path for path in REFERENCES if value_at(item, path) is not None), None)
    if path is None:
        return None
    with suppress(BadLineError):
        if several := accepted(item, path=path):
            return several
    answer = text_of(value_at(item, path))
    return _split_at_mark(answer)[1] if "question" in item else answer


def note_on_objects(item: Mapping[str, Any], *, shape: Shape) -> str | None:
    """Return a sentence on an answer that is a list or an object; None if it is neither."""
    column = shape.question if shape.answer is None else shape.answer
    value = None if column == shape.question else value_at(item, column)
    if value is None or answer_of_messages(value, column=column) is not None:
        return None
    return note_on_accepted(item, path=column)
