"""Static analysis of a verifier spec: its inputs, references and score range. Pure; nothing is run."""

import ast
from collections.abc import Iterable, Iterator, Mapping

from backend.errors import AppError
from backend.verifiers import specs, templates
from backend.verifiers.decimal_marks import ColumnReading, read_column
from backend.verifiers.libraries import MODULES
from backend.verifiers.source import parse_source
from backend.verifiers.specs import Single, Spec, TextGrader

_COMPLETION_VALUES = frozenset({"output_text", "completion", "sample"})
"""Arguments of signatures.py that come from the completion; all others come from the row."""
_METADATA_VALUES = frozenset({"data_source"})
"""Arguments from the row that are not a reference."""


def graders_of(spec: Spec) -> tuple[Single, ...]:
    """Return the graders of a `multi`, or the spec itself."""
    return tuple(spec.graders.values()) if isinstance(spec, specs.Multi) else (spec,)


def is_judged(spec: Spec) -> bool:
    """Return whether a judge gives the score, or a part of it."""
    return any(isinstance(part, specs.ScoreModel | specs.LabelModel) for part in graders_of(spec))


def reads_row(spec: Spec) -> bool:
    """Return whether the score depends on the row; otherwise only the form is scored."""
    return any(_part_reads_row(part) for part in graders_of(spec))


def reads_text(spec: Spec) -> bool:
    """Return whether the score can depend on the completion."""
    return any(not isinstance(part, specs.Python) or _names_read(part, of_text=True) for part in graders_of(spec))


def score_range(spec: Spec) -> tuple[float, float] | None:
    """Return (minimum, maximum) score; None if the spec does not determine it: `python` and `multi`."""
    match spec:
        case specs.Python() | specs.Multi():
            return None
        case specs.ScoreModel():
            return spec.range
        case _:
            return 0.0, 1.0


def references(spec: Spec, *, item: Mapping[str, object], answer: str | None) -> list[str]:
    """Return texts that the verifier may accept on this row, the most likely first.

    Without known references, these are the values of columns that the source looks up.
    """
    guessed = (
        str(item[name]) for part in graders_of(spec) for name in _columns_read(part) if _is_short(item.get(name))
    )
    return known_references(spec, item=item, answer=answer) or _distinct(guessed)


def known_references(spec: Spec, *, item: Mapping[str, object], answer: str | None) -> list[str]:
    """Return the references that the spec or the row names."""
    named = [text for part in graders_of(spec) if (text := _named_reference(part, item=item)) is not None]
    return _distinct(named if answer is None else [*named, answer])


def remarks(spec: Spec) -> list[str]:
    """Return a sentence for each field of the spec that has no effect here."""
    tags = {
        part.image_tag for part in graders_of(spec) if isinstance(part, specs.Python) and part.image_tag is not None
    }
    libraries = ", ".join(MODULES[:6])
    return [
        f"The image_tag '{tag}' has no effect: it selects OpenAI's library image, but Python graders run with this "
        f"server's libraries: the standard library, {libraries}."
        for tag in sorted(tags)
    ]


def with_decimal_marks(
    spec: Spec, rows: Iterable[tuple[Mapping[str, object], str | None]]
) -> tuple[Spec, dict[str, ColumnReading]]:
    """Fill in the decimal mark of each `number` that leaves it open; also return the readings, by grader name.

    `rows`: (item, reference answer) of the dataset, iterated once, and only if a mark is open.
    """
    named = spec.graders if isinstance(spec, specs.Multi) else {"": spec}
    open_numbers = {n: p for n, p in named.items() if isinstance(p, specs.Number) and p.decimal_mark is None}
    if not open_numbers:
        return spec, {}
    references: dict[str, list[str]] = {name: [] for name in open_numbers}
    for item, answer in rows:
        for name, part in open_numbers.items():
            reference = answer if part.reference is None else render_from_row(part.reference, item=item)
            if reference is not None:
                references[name].append(reference)
    found = {name: read_column(texts) for name, texts in references.items()}
    read = {n: p.model_copy(update={"decimal_mark": found[n].decimal_mark}) for n, p in open_numbers.items()}
    if isinstance(spec, specs.Multi):
        return spec.model_copy(update={"graders": {**spec.graders, **read}}), found
    return read[""], found


def render_from_row(template: str, *, item: Mapping[str, object]) -> str | None:
    """Fill the template from the row; None if it uses the completion, or a value that the row lacks."""
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
    return named or bool(part.implicit_references)


def _named_reference(part: Single, *, item: Mapping[str, object]) -> str | None:
    """Return the value of `reference` if it comes from the row and equality with it scores."""
    reference = part.reference if isinstance(part, TextGrader) else None
    if reference is None or not templates.parse(reference).paths:
        return None
    if isinstance(part, specs.StringCheck) and part.operation == "ne":
        return None
    return render_from_row(reference, item=item)


def _names_read(part: specs.Python, *, of_text: bool) -> set[str]:
    """Return the parameters, of the completion or of the row, that the source reads."""
    entry = part.entry_point
    parameters = {
        name
        for name, value in entry.arguments.items()
        if (value in _COMPLETION_VALUES) == of_text and value not in _METADATA_VALUES
    }
    if not of_text:
        parameters |= {*entry.required_columns, *entry.optional_columns}
    read = {node.id for node in ast.walk(parse_source(part.source)) if isinstance(node, ast.Name)}
    return parameters & read


def _columns_read(part: Single) -> Iterator[str]:
    """Yield the keys that a Python source looks up: `item["label"]`, `item.get("label")`."""
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
