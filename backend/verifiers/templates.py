"""`{{item.any.path}}`, `{{sample.output_text}}` and `{{sample.output_json.x}}` in the texts of a spec.

Pure look-ups, no expressions, so they are rendered outside the sandbox. A path is names joined by dots; a number picks
from a list (`{{item.choices.0}}`). Texts are inserted as they are, everything else as JSON. What is inserted is never
looked at again: a completion that writes `{{item.answer}}` stays those characters.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from backend.errors import AppError

MAX_TEMPLATE_CHARS = 10_000
NAMESPACES = ("item", "sample")
SAMPLE_VARIABLES = ("output_text", "output_json")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a verifier sees of one completion: never the prompt's hint.

    `output_text` is what the model wrote, `item` the original row, `answer` the normal form's `reference.answer`,
    `messages` its prompt; without them a verifier that asks for the prompt finds what the item itself calls so.
    """

    output_text: str
    item: Mapping[str, object]
    answer: str | None = None
    messages: Sequence[Mapping[str, object]] | None = None


class OutputPathError(AppError):
    """`sample.output_json` has no such value: what the model wrote is at fault, neither the spec nor the row."""


@dataclass(frozen=True, slots=True)
class Template:
    """`literals` has one element more than `paths`; the text is their alternation."""

    literals: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=512)
def parse(template: str) -> Template:
    """Splits a template; raises AppError(400) for a placeholder that no row could ever fill."""
    if len(template) > MAX_TEMPLATE_CHARS:
        raise AppError(
            f"A template has at most {MAX_TEMPLATE_CHARS} characters, this one has {len(template)}.",
            code="template_too_long",
        )
    pieces = _PLACEHOLDER.split(template)
    paths = tuple(_parse_path(piece) for piece in pieces[1::2])
    literals = tuple(pieces[::2])
    unclosed = next((literal for literal in literals if "{{" in literal), None)
    if unclosed is not None:
        start = unclosed[unclosed.index("{{") :][:40]
        raise AppError(f"The template opens '{start}' and never closes it with '}}}}'.", code="invalid_template")
    return Template(literals=literals, paths=paths)


def _parse_path(placeholder: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in placeholder.split("."))
    shown = "{{" + placeholder[:100] + "}}"
    if names[0] not in NAMESPACES:
        raise AppError(
            f"{shown} is not a template variable: it starts with 'item.' or 'sample.'.", code="invalid_template"
        )
    if len(names) < 2 or not all(names):
        raise AppError(f"{shown} names no variable: write for example {{{{item.answer}}}}.", code="invalid_template")
    if names[0] == "sample" and names[1] not in SAMPLE_VARIABLES:
        raise AppError(
            f"{shown} does not exist: a sample has {' and '.join(SAMPLE_VARIABLES)}.", code="invalid_template"
        )
    if names[:2] == ("sample", "output_text") and len(names) > 2:
        raise AppError(f"{shown} looks inside a text: use sample.output_json for that.", code="invalid_template")
    return names


def render(template: str, *, item: Mapping[str, object], sample: Mapping[str, object]) -> str:
    """The text with every placeholder filled; `sample` holds `output_text`.

    Raises OutputPathError where `sample.output_json` lacks the path, AppError(400, param=the path) where `item` does.
    """
    parsed = parse(template)
    if not parsed.paths:
        return template
    parts = [parsed.literals[0]]
    for path, literal in zip(parsed.paths, parsed.literals[1:], strict=True):
        parts += (_look_up(path, item=item, sample=sample), literal)
    return "".join(parts)


def _look_up(path: tuple[str, ...], *, item: Mapping[str, object], sample: Mapping[str, object]) -> str:
    if path[0] == "item":
        value: object = item
        rest = path[1:]
    elif path[1] == "output_text":
        value, rest = sample["output_text"], ()
    else:
        value, rest = _output_json(str(sample["output_text"])), path[2:]
    for depth, name in enumerate(rest):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(value):
            value = value[int(name[:9])]
        else:
            raise _missing(path, name=name, parent=".".join(path[: len(path) - len(rest) + depth]), value=value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _output_json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OutputPathError("The output is not JSON, so sample.output_json has no value.") from error
    return value


def _missing(path: tuple[str, ...], *, name: str, parent: str, value: object) -> AppError:
    there = ", ".join(sorted(map(str, value))[:20]) if isinstance(value, Mapping) else f"a {type(value).__name__}"
    message = f"{{{{{'.'.join(path)}}}}} has no value: '{name}' is not in {parent} (there: {there or 'nothing'})."
    kind = AppError if path[0] == "item" else OutputPathError
    return kind(message, code="unknown_template_path", param=".".join(path))
