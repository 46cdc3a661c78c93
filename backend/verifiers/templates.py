"""`{{item.any.path}}`, `{{sample.output_text}}` and `{{sample.output_json.x}}` in the texts of a spec.

These are look-ups, not expressions, so they are rendered outside the sandbox. A path consists of names joined by dots;
a number indexes a list (`{{item.choices.0}}`). Texts are inserted verbatim, everything else as JSON. Inserted text is
not rendered again: `{{item.answer}}` in a completion stays literal.
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
    """The input of a verifier for one completion, without the prompt's hint.

    `output_text` is the completion, `item` the original row, `answer` the normal form's `reference.right`
    (several texts if any one is right), `messages` the prompt; without messages the prompt is the item's own field of
    that name.
    """

    output_text: str
    item: Mapping[str, object]
    answer: str | tuple[str, ...] | None = None
    messages: Sequence[Mapping[str, object]] | None = None


class OutputPathError(AppError):
    """The completion has no such value in `sample.output_json`; spec and row are not at fault."""


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: alternating `literals` and `paths`, with one more literal than paths."""

    literals: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=512)
def parse(template: str) -> Template:
    """Parse a template. Raises AppError(400) for a placeholder that no row can fill."""
    if len(template) > MAX_TEMPLATE_CHARS:
        raise AppError(
            f"The template has {len(template)} characters; the limit is {MAX_TEMPLATE_CHARS}.",
            code="template_too_long",
        )
    pieces = _PLACEHOLDER.split(template)
    paths = tuple(_parse_path(piece) for piece in pieces[1::2])
    literals = tuple(pieces[::2])
    unclosed = next((literal for literal in literals if "{{" in literal), None)
    if unclosed is not None:
        start = unclosed[unclosed.index("{{") :][:40]
        raise AppError(f"The template does not close '{start}' with '}}}}'.", code="invalid_template")
    return Template(literals=literals, paths=paths)


def _parse_path(placeholder: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in placeholder.split("."))
    shown = "{{" + placeholder[:100] + "}}"
    if names[0] not in NAMESPACES:
        raise AppError(
            f"{shown} is not a template variable: start it with 'item.' or 'sample.'.", code="invalid_template"
        )
    if len(names) < 2 or not all(names):
        raise AppError(f"{shown} names no variable: use for example {{{{item.answer}}}}.", code="invalid_template")
    if names[0] == "sample" and names[1] not in SAMPLE_VARIABLES:
        raise AppError(
            f"{shown} does not exist: a sample has {' and '.join(SAMPLE_VARIABLES)}.", code="invalid_template"
        )
    if names[:2] == ("sample", "output_text") and len(names) > 2:
        raise AppError(f"{shown}: output_text has no fields; use sample.output_json.", code="invalid_template")
    return names


def render(template: str, *, item: Mapping[str, object], sample: Mapping[str, object]) -> str:
    """Fill every placeholder; `sample` contains `output_text`.

    Raises OutputPathError if `sample.output_json` lacks the path, AppError(400, param=the path) if `item` does.
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
    found = ", ".join(sorted(map(str, value))[:20]) if isinstance(value, Mapping) else f"a {type(value).__name__}"
    message = f"{{{{{'.'.join(path)}}}}} has no value: '{name}' is not in {parent} (found: {found or 'nothing'})."
    kind = AppError if path[0] == "item" else OutputPathError
    return kind(message, code="unknown_template_path", param=".".join(path))
