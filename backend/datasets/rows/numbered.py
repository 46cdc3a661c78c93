"""Answers that are the number of a choice, as MMLU's `answer: 1` next to `choices`: the right answer is its letter.

Whether the first choice has the number 0 or 1 shows in the rows: 0 is the first of those, and as many as there are
choices the last of these. It is found once for a file, or named in the mapping. Choices in columns such as `choice1`
are numbered from 1, unless a row's answer is 0.
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
    is_numbered = has_numbers = False
    for place, item in enumerate(items):
        number, texts = _number(item, shape=shape), _texts(item, shape=shape)
        if (number is None or number > len(texts)) and place == 0:
            return None
        if number is None or number > len(texts):
            continue
        is_numbered |= str(number) not in texts
        has_numbers = _labels(item, shape=shape)[0] == "1"
        if is_numbered and number in (0, len(texts)) and not (number and has_numbers):
            return int(number > 0)
        if place == LOOKED_AT:
            break
    if not is_numbered or has_numbers:
        return None
    raise AppError(
        f"The numbers in '{shape.answer:.60}' may count the choices in '{shape.choices:.60}' from 0 or from 1, and no "
        'row shows which: say so in `mapping`, as in {"first_choice": 0}, or write the letters of the choices.',
        code="unknown_first_choice",
        param="file",
    )


def letter_of(item: Mapping[str, Any], *, shape: Shape, first: int) -> str | None:
    """Return the label of the choice that the answer numbers; None if it is no number. Raises BadLineError."""
    number, labels = _number(item, shape=shape), _labels(item, shape=shape)
    if number is None:
        return None
    if not first <= number < first + len(labels):
        raise BadLineError(
            "no_such_choice",
            f"has the number {number} in '{shape.answer:.60}', where {len(labels)} choices are counted from {first}",
        )
    return labels[number - first]


def note_on_numbers(item: Mapping[str, Any], *, shape: Shape) -> str | None:
    """Return a sentence on a row whose answer is the number of a choice; None if it is not."""
    if shape.first_choice is None or _number(item, shape=shape) is None:
        return None
    labels = _labels(item, shape=shape)
    what = "letters" if labels[0] == "A" else "numbers"
    return (
        f"The numbers in '{shape.answer:.60}' count the choices in '{shape.choices:.60}' from {shape.first_choice}: "
        f"the right answers are their {what}, {labels[0]} for the first."
    )


def _number(item: Mapping[str, Any], *, shape: Shape) -> int | None:
    """Return the number that the answer is, where it can be that of a choice; None if it cannot."""
    if shape.choices is None or shape.answer is None:
        return None
    value = value_at(item, shape.answer)
    written = "" if isinstance(value, bool) else text_of(value).strip()
    question = value_at(item, shape.question)
    if not written.isdecimal() or not _labels(item, shape=shape):
        return None
    return None if isinstance(question, str) and lists_choices(item, question, column=shape.choices) else int(written)


def _labels(item: Mapping[str, Any], *, shape: Shape) -> list[str]:
    """Return the labels of the choices, if a number may count them: letters, or the numbers of columns."""
    labels = [label for label, _ in choices_of(item, column=shape.choices)]
    is_column = isinstance(item.get(str(shape.choices)), str) and str(shape.choices).endswith("1")
    return labels if labels and (labels[0] == "A" or (labels[0] == "1" and is_column)) else []


def _texts(item: Mapping[str, Any], *, shape: Shape) -> list[str]:
    return [text.strip() for _, text in choices_of(item, column=shape.choices)]
