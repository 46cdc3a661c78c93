"""What a verifier looks at, and the most it can give, as far as its spec tells. Pure; nothing is run."""

import ast
from collections.abc import Iterable, Iterator, Mapping

from backend.errors import AppError
from backend.verifiers import specs, templates
from backend.verifiers.libraries import MODULES
from backend.verifiers.signatures import parse_source
from backend.verifiers.specs import Single, Spec, TextGrader

_TEXT = frozenset({"output_text", "completion", "sample"})
"""What signatures.py hands a function of the completion; all else that it hands is of the row."""
_ASIDE = frozenset({"data_source"})
"""Of the row, and no reference."""


def parts(spec: Spec) -> tuple[Single, ...]:
    """The graders of a `multi`; of any other the spec itself."""
    return tuple(spec.graders.values()) if isinstance(spec, specs.Multi) else (spec,)


def is_judged(spec: Spec) -> bool:
    """Whether another model gives the score, or a part of it."""
    return any(isinstance(part, specs.ScoreModel | specs.LabelModel) for part in parts(spec))


def reads_row(spec: Spec) -> bool:
    """Whether anything of the row decides the score; without it the form alone is scored."""
    return any(_part_reads_row(part) for part in parts(spec))


def reads_text(spec: Spec) -> bool:
    """Whether what the model wrote can decide the score."""
    return any(not isinstance(part, specs.Python) or _names_read(part, of_text=True) for part in parts(spec))


def score_range(spec: Spec) -> tuple[float, float] | None:
    """(least, most) of the score; None where only the author knows: `python`, and the formula of a `multi`."""
    match spec:
        case specs.Python() | specs.Multi():
            return None
        case specs.ScoreModel():
            return spec.range
        case _:
            return 0.0, 1.0


def references(spec: Spec, *, item: Mapping[str, object], answer: str | None) -> list[str]:
    """Texts that the verifier may take for right on this row, the likeliest first.

    Where nothing is known to be one, those are guessed at that stand in columns which the source looks up.
    """
    guessed = (str(item[name]) for part in parts(spec) for name in _columns_read(part) if _is_short(item.get(name)))
    return known_references(spec, item=item, answer=answer) or _distinct(guessed)


def known_references(spec: Spec, *, item: Mapping[str, object], answer: str | None) -> list[str]:
    """Those that the spec or the row itself says to be right."""
    named = [text for part in parts(spec) if (text := _named_reference(part, item=item)) is not None]
    return _distinct(named if answer is None else [*named, answer])


def remarks(spec: Spec) -> list[str]:
    """What the spec says that changes nothing here, a sentence each."""
    tags = {part.image_tag for part in parts(spec) if isinstance(part, specs.Python) and part.image_tag is not None}
    libraries = ", ".join(MODULES[:6])
    return [
        f"The image_tag '{tag}' names OpenAI's image of libraries; here a Python grader runs with this server's: the "
        f"standard library, {libraries}."
        for tag in sorted(tags)
    ]


def rendered(template: str, *, item: Mapping[str, object]) -> str | None:
    """The template filled from the row; None where it asks for the completion, or for what the row lacks."""
    if any(path[0] == "sample" for path in templates.parse(template).paths):
        return None
    try:
        return templates.render(template, item=item, sample={"output_text": ""})
    except AppError:
        return None


def _part_reads_row(part: Single) -> bool:
    if isinstance(part, specs.Python):
        return part.entry_point.every_column or bool(_names_read(part, of_text=False))
    named = any(path[0] == "item" for text in part.templates.values() for path in templates.parse(text).paths)
    return named or bool(part.open_references)


def _named_reference(part: Single, *, item: Mapping[str, object]) -> str | None:
    """What stands in `reference`, where that is of the row and equality with it is asked for."""
    reference = part.reference if isinstance(part, TextGrader) else None
    if reference is None or not templates.parse(reference).paths:
        return None
    if isinstance(part, specs.StringCheck) and part.operation == "ne":
        return None
    return rendered(reference, item=item)


def _names_read(part: specs.Python, *, of_text: bool) -> set[str]:
    """The parameters, of the text or of the row, that the source reads anywhere."""
    entry = part.entry_point
    handed = {name for name, value in entry.arguments.items() if (value in _TEXT) == of_text and value not in _ASIDE}
    if not of_text:
        handed |= {*entry.required_columns, *entry.optional_columns}
    read = {node.id for node in ast.walk(parse_source(part.source)) if isinstance(node, ast.Name)}
    return handed & read


def _columns_read(part: Single) -> Iterator[str]:
    """The keys that a Python source looks up anywhere: `item["label"]`, `item.get("label")`."""
    if not isinstance(part, specs.Python):
        return
    yield from part.entry_point.required_columns
    for node in ast.walk(parse_source(part.source)):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str() as name)):
                yield name
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str() as name), *_]):
                yield name


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text.strip()))


def _is_short(value: object) -> bool:
    return isinstance(value, str | int | float) and 0 < len(str(value)) <= 200
