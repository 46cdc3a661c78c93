"""What other people say of a row's completion: whether it is right, or how good it is.

Preference data, as for KTO, holds wrong completions too; these must not become right answers.
"""

from collections.abc import Mapping
from typing import Any

from backend.datasets.formats.json_lines import BadLineError
from backend.datasets.rows.paths import canonical
from backend.datasets.rows.recognise import REPLIES
from backend.datasets.rows.shape import Shape

LABELS = ("label", "kto_tag", "is_correct")
"""Columns that tell right completions from wrong ones, as TRL and LLaMA-Factory call them."""
FALSE = (0, "false", "0", "0.0")
"""How a label calls a completion wrong; 0 stands for False too. Other values, such as the names of classes, do not."""
RATINGS = ("helpfulness", "correctness", "rating", "score")


def require_right(item: Mapping[str, Any], *, shape: Shape) -> None:
    """Raise BadLineError if the completion that is the row's reference is labelled wrong."""
    for column, value in item.items() if _is_completion(shape) else ():
        label = value.strip().casefold() if isinstance(value, str) else value
        if canonical(column) in LABELS and column != shape.answer and label in FALSE:
            raise BadLineError(
                "labelled_false",
                f"has a completion in '{shape.answer:.60}' that is labelled false in '{column:.60}', so it is no "
                "right answer",
            )


def note_on_ratings(item: Mapping[str, Any], *, shape: Shape) -> str | None:
    """Return a sentence on ratings of the completions that are references; None if there are none."""
    names = item if _is_completion(shape) else ()
    column = next((name for name in names if canonical(name) in RATINGS and item[name] is not None), None)
    return column and f"Completions are right answers here, whatever their rating in '{column:.60}'."


def _is_completion(shape: Shape) -> bool:
    return shape.answer is not None and (shape.answer == shape.question or canonical(shape.answer) in REPLIES)
