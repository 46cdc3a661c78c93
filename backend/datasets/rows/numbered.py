"""Answers that are the number of a choice, as MMLU's `answer: 1` next to `choices`: the right answer is its letter.

Whether the first choice has the number 0 or 1 shows in the rows: 0 is the first of those, and as many as there are
choices the last of these. It is found once for a file, or named in the mapping.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from backend.datasets.formats.json_lines import BadLineError
from backend.datasets.rows.asked_about import choices_of, lists_choices
from backend.datasets.rows.paths import text_of, value_at
from backend.datasets.rows.shape import Shape
from backend.errors import AppError

LOOKED_AT = 2_000
"""Rows that are looked at until one shows it."""


def first_number(items: Iterable[Mapping[str, Any]], *, shape: Shape) -> int | None:
    """Return the number of the first choice, 0 or 1; None if answers are no numbers of choices.

    `items`: the rows of a file in order, of which no more are taken than are needed. Raises AppError if answers are
    such numbers and no row shows which.
    """
    is_numbered = False
    for place, item in enumerate(items):
        number, texts = _number(item, shape=shape), _texts(item, shape=shape)
        if (number is None or number > len(texts)) and place == 0:
            return None
        if number is None or number > len(texts):
            continue
        is_numbered |= str(number) not in texts
        if is_numbered and number in (0, len(texts)):
            return int(number > 0)
        if place == LOOKED_AT:
            break
    if not is_numbered:
        return None
    raise AppError(
        f"The numbers in '{shape.answer:.60}' may count the choices in '{shape.choices:.60}' from 0 or from 1, and no "
        'row shows which: say so in `mapping`, as in {"first_choice": 0}, or write the letters of the choices.',
        code="unknown_first_choice",
        param="file",
    )


def letter_of(item: Mapping[str, Any], *, shape: Shape, first: int) -> str | None:
    """Return the letter of the choice that the answer numbers; None if it is no number. Raises BadLineError."""
    number, count = _number(item, shape=shape), len(_texts(item, shape=shape))
    if number is None:
        return None
    if not first <= number < first + count:
        raise BadLineError(
            "no_such_choice",
            f"has the number {number} in '{shape.answer:.60}', where {count} choices are counted from {first}",
        )
    return chr(ord("A") + number - first)


def note_on_numbers(item: Mapping[str, Any], *, shape: Shape) -> str | None:
    """Return a sentence on a row whose answer is the number of a choice; None if it is not."""
    if shape.first_choice is None or _number(item, shape=shape) is None:
        return None
    return (
        f"The numbers in '{shape.answer:.60}' count the choices in '{shape.choices:.60}' from {shape.first_choice}: "
        "the right answers are their letters, A for the first."
    )


def _number(item: Mapping[str, Any], *, shape: Shape) -> int | None:
    """Return the number that the answer is, where it can be that of a choice; None if it cannot."""
    if shape.choices is None or shape.answer is None:
        return None
    value = value_at(item, shape.answer)
    written = "" if isinstance(value, bool) else text_of(value).strip()
    labels = [label for label, _ in choices_of(item, column=shape.choices)]
    question = value_at(item, shape.question)
    if not labels or not written.isdecimal() or written in labels or labels[0] != "A":
        return None
    return None if isinstance(question, str) and lists_choices(item, question, column=shape.choices) else int(written)


def _texts(item: Mapping[str, Any], *, shape: Shape) -> list[str]:
    return [text.strip() for _, text in choices_of(item, column=shape.choices)]
