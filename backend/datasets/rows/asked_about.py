"""What a question asks about, in columns of its own: a text, and the choices of which one is right.

Texts of the names in `CONTEXT` are put after the question. Those in `MAYBE_CONTEXT` may as well be a solution or facts
about the row, so notes name them. Choices are put after it where the answer names one of them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from backend.datasets.formats.json_lines import BadLineError
from backend.datasets.rows.paths import canonical, text_at, text_of, value_at
from backend.datasets.rows.shape import Shape
from backend.datasets.rows.turns import decoded

CONTEXT = (
    *("context", "passage", "article", "document", "paragraph", "story", "body"),
    *("contexts", "passages", "documents", "paragraphs"),
)
"""Columns whose text is part of the question; of these a file may have one."""
MAYBE_CONTEXT = (
    *("support", "background", "evidence", "facts", "premise", "knowledge", "text", "dialogue", "transcript"),
    *("table", "tables", "schema", "db_schema", "code", "starter_code"),
)
LISTS_OF_CHOICES = ("choices", "options", "endings", "answer_choices", "answer_options")
FIRST_CHOICES = (
    *(f"{name}{first}" for name in ("option_", "option", "opt_", "op", "choice_", "choice") for first in "a1"),
    *("a", "answer_a", "answera", "answer0", "ending0", "sol1"),
)
"""Columns of the first of several choices: `option_a` before `option_b`."""

_BEFORE_A_CHOICE = re.compile(r"(?:\n|\\n|\w[.):\]]|[-*•,;]|\bor)[ \t]*\Z")
"""What a choice stands behind where a question lists it; `\\n` is a line's end in JSON."""
_LOOKED_BACK = 8

Choices = list[tuple[str, str]]
"""(label, text) of each choice."""


def choices_column(names: Iterable[str]) -> str | None:
    """Return the column that lists choices, or holds the first of several: its name as the file writes it."""
    written = {canonical(name): name for name in names}
    found = next((written[name] for name in LISTS_OF_CHOICES if name in written), None)
    firsts = (written[name] for name in FIRST_CHOICES if name in written)
    return found or next((name for name in firsts if _next(name) in written.values()), None)


def with_context(question: str, context: str | None) -> str:
    """Put a text after the question, unless the question has it already."""
    if context is None or context.strip() in question:
        return question
    return f"{question}\n\n{context}" if question.strip() else context


def context_of(item: Mapping[str, Any], *, shape: Shape) -> str | None:
    """Return the text that the question asks about; several texts as paragraphs."""
    value = None if shape.context is None else value_at(item, shape.context)
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        return "\n\n".join(value)
    return text_at(item, shape.context)


def with_choices(question: str, item: Mapping[str, Any], *, shape: Shape) -> str:
    """Put the choices after the question where the answer names one, unless the question has them already."""
    choices = choices_of(item, column=shape.choices)
    if not choices or _lists(question, choices):
        return question
    answer = "" if shape.answer is None else text_of(value_at(item, shape.answer)).strip(" ().").casefold()
    if shape.first_choice is not None or answer in [label.casefold() for label, _ in choices]:
        lines = [f"{label}. {text}" for label, text in choices]
    elif not _is_letter(shape.choices) and answer in [text.strip(" .").casefold() for _, text in choices]:
        lines = [f"- {text}" for _, text in choices]
    else:
        return question
    return "\n".join([f"{question}\n", *lines])


def choices_of(item: Mapping[str, Any], *, column: str | None) -> Choices:
    """Return the choices of a row: those that a column lists, or one of each column from this one on."""
    value = None if column is None else _decoded(item.get(column))
    match value:
        case {"text": [*texts], "label": [*labels]} if len(texts) == len(labels):
            pairs = [*zip(map(str, labels), texts, strict=True)]
        case {}:
            pairs = [(str(label), text) for label, text in value.items()]
        case [*texts]:
            pairs = _labelled(texts[:26])
        case _:
            pairs = list(_of_columns(item, column))
    return [(label, text_of(text)) for label, text in pairs] if len(pairs) > 1 else []


def _labelled(texts: list[Any]) -> list[tuple[str, Any]]:
    """Return the texts with their letters; those that all begin with their letter (`A)21`) without it."""
    letters = [chr(ord("A") + place) for place in range(len(texts))]
    own = [
        isinstance(text, str) and re.match(rf"\(?{letter}\s?[).:]\s*", text)
        for letter, text in zip(letters, texts, strict=True)
    ]
    if all(own):
        texts = [text[found.end() :] for text, found in zip(texts, own, strict=True) if found]
    return [*zip(letters, texts, strict=True)]


def lists_choices(item: Mapping[str, Any], text: str, *, column: str | None) -> bool:
    """Return whether a text lists all choices of a row."""
    return _lists(text, choices_of(item, column=column))


def _decoded(value: Any) -> Any:
    """Read a list or an object that a cell holds as text, as CSV files of tables do."""
    if isinstance(value, str) and value.strip().startswith(("[", "{")):
        with suppress(BadLineError):
            return decoded(value, column="", code="")
    return value


def notes_on(messages: Iterable[Mapping[str, Any]], item: Mapping[str, Any], *, shape: Shape) -> Iterator[str]:
    """Yield a sentence on each column that the question may ask about: whether it is part of the question."""
    shown = "\n".join(_texts(messages))
    question = value_at(item, shape.question)
    if shape.context is not None and text_at(item, shape.context) is not None:
        yield f"The texts in '{shape.context:.60}' are part of the questions."
    column = shape.choices or choices_column(item)
    choices = choices_of(item, column=column)
    if not _lists(shown, choices) and not _is_letter(column):
        yield f"What '{column:.60}' lists is not part of the questions: write the choices into them."
    elif _lists(shown, choices) and not _lists(text_of(question), choices):
        yield f"The choices in '{column:.60}' are part of the questions."
    used = (shape.question, shape.answer, shape.context, shape.solution, shape.hint)
    for name in item:
        if name not in used and canonical(name) in (*CONTEXT, *MAYBE_CONTEXT):
            text = text_at(item, name)
            if text is not None and text.strip() not in shown:
                what_to_do = "name it as `context` in `mapping`" if isinstance(question, str) else "put it into them"
                yield f"The column '{name:.60}' is not part of the questions: if they ask about it, {what_to_do}."


def _lists(text: str, choices: Choices) -> bool:
    """Return whether a text lists all choices: each begins a line, or follows a label, a dash or a comma."""
    return all(_has_listed(f"\n{text}", choice.strip()) for _, choice in choices)


def _has_listed(text: str, choice: str) -> bool:
    at = text.find(choice)
    while at > 0:
        if _BEFORE_A_CHOICE.search(text[max(0, at - _LOOKED_BACK) : at]):
            return True
        at = text.find(choice, at + 1)
    return False


def _of_columns(item: Mapping[str, Any], first: str | None) -> Iterator[tuple[str, Any]]:
    column = first
    while column is not None and column in item and text_at(item, column) is not None:
        yield column[-1].upper(), item[column]
        column = _next(column)


def _is_letter(column: str | None) -> bool:
    """Return whether it is a column such as `a`, which may as well hold an operand."""
    return column is not None and len(column) == 1


def _next(column: str) -> str:
    """Return the column after one of several: `option_b` after `option_a`."""
    return column[:-1] + chr(ord(column[-1]) + 1)


def _texts(messages: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content or []
        yield from (part["text"] for part in parts if "text" in part)
