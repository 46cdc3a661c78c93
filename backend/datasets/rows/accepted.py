"""References of which any one is right, as data sets of open questions have them.

The names of `LISTS`, a path that ends with `.*`, and the objects of SQuAD, TriviaQA and Search-R1 say so of a list. A
list under any other name may as well be one answer of several parts, which is for people to tell.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from backend.datasets.formats.json_lines import BadLineError
from backend.datasets.rows.paths import ANY_OF, canonical, text_of, value_at
from backend.datasets.rows.turns import decoded

LISTS = (
    *("golden_answers", "gold_answers", "accepted_answers", "acceptable_answers", "possible_answers"),
    *("correct_answers", "answers", "ground_truths", "targets", "solutions"),
)
"""Columns of a list of which any one is right, or of one answer."""
ALIASES = ("answer_aliases", "aliases")
"""Columns of other names for the answer in another column, as MuSiQue's."""
SETS = ("labels",)
"""Columns of a list of which all may be needed; of one answer it is clear."""
_OF_AN_ANSWER = ("text", "answer", "value")
_WRITTEN = re.compile(r"""\s*(?:array\()?(?:\[\s*[\]'"{]|\{\s*['"])""")
"""The beginning of a list of texts, or of an object, and not of an interval such as `[1, 2]`."""


def accepted(item: Mapping[str, Any], *, path: str) -> tuple[str, ...]:
    """Return the answers of which any one is right, without repetitions; none if the value is one answer.

    Those of a column of other names for the answer (`ALIASES`) are among them. Raises BadLineError for a list that is
    empty, or of which it is not clear whether one is enough.
    """
    name = canonical(path.removesuffix(ANY_OF).rpartition(".")[2])
    is_list = path.endswith(ANY_OF) or name in (*LISTS, *SETS)
    value = value_at(item, path)
    match _decoded(value, column=path) if is_list else value:
        case {"value": value, "aliases": [*aliases]}:  # TriviaQA
            values = [value, *aliases]
        case {"text": [*values], "answer_start": _} | {"aliases": [*values]}:  # SQuAD
            pass
        case {"target": target, **others} if not others:  # Search-R1
            values = target if isinstance(target, list) else [target]
        case [*values] if is_list:
            pass
        case str() as text if text.strip() and (names := _aliases(item)) is not None:
            values = [text, *names]
        case _:
            return ()
    answers = tuple(dict.fromkeys(text for each in values for text in _answer(each, column=path)))
    if not answers:
        raise BadLineError("empty_answer", f"has no answer in '{path:.60}'")
    if name in SETS and len(answers) > 1 and not path.endswith(ANY_OF):
        raise BadLineError(
            "several_answers",
            f"has several values in '{path:.60}': if any one of them is a right answer, map `answer` to "
            f"'{path:.60}{ANY_OF}', else write them as one text",
        )
    return answers


def alone(value: Any) -> Any:
    """Return the only element of a list of one text or number, which is that answer; any other value unchanged."""
    is_one = isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | int | float)
    return value[0] if is_one else value


def _aliases(item: Mapping[str, Any]) -> list[Any] | None:
    """Return the list of other names for the answer that a column holds; None if there is no such column."""
    column = next((name for name in item if canonical(name) in ALIASES), None)
    value = None if column is None else _decoded(item[column], column=column)
    return value if isinstance(value, list) else None


def note_on_accepted(item: Mapping[str, Any], *, path: str) -> str | None:
    """Return a sentence on what is read from a list or an object; None if a row's answer is neither."""
    value = value_at(item, path)
    if accepted(item, path=path):
        return f"Any one of the answers in '{path:.60}' is right; the first is shown and given to the teacher."
    if isinstance(value, dict):
        part = f"for a part of it, map its path, '{path:.60}.KEY'"
    elif isinstance(value, list) and alone(value) is value:
        part = f"if any one of it is right, map '{path:.60}{ANY_OF}'"
    else:
        return None
    kind = "An object" if isinstance(value, dict) else "A list"
    return f"{kind} in '{path:.60}' is the right answer as JSON text, whole: {part}."


def _decoded(value: Any, *, column: str) -> Any:
    """Read a list of texts or an object that a cell holds as text, as CSV files of such data sets do."""
    is_written = isinstance(value, str) and _WRITTEN.match(value)
    return decoded(value, column=column, code="invalid_answers") if is_written else value


def _answer(value: Any, *, column: str) -> Iterable[str]:
    """Yield an answer of a list, which may be an object that holds its text; nothing for an empty one."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in _OF_AN_ANSWER if isinstance(value.get(key), str)), value)
    if isinstance(value, list | Mapping):
        raise BadLineError("invalid_answers", f"has an answer in '{column:.60}' that is a list or an object of its own")
    text = "" if value is None else text_of(value)
    if text.strip():
        yield text
