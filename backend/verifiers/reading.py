"""Static analysis of a verifier spec: its inputs, references and score range. Pure; nothing is run."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence

from backend.errors import AppError
from backend.verifiers import specs, templates
from backend.verifiers.decimal_marks import ColumnReading, read_column
from backend.verifiers.formula import FormulaError
from backend.verifiers.libraries import MODEL_CODE, MODULES
from backend.verifiers.record import ROUNDING
from backend.verifiers.source import parse_source
from backend.verifiers.specs import Single, Spec, TextGrader

_COMPLETION_VALUES = frozenset({"output_text", "completion", "sample", "query", "reward_input"})
"""Arguments of signatures.py that come from the completion; all others come from the row."""
_ROW_VALUES_TOO = frozenset({"reward_input"})
"""Of these, what comes from the row as well."""
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
    return bool(comparing_graders(spec))


def comparing_graders(spec: Spec) -> list[Single]:
    """Return the graders whose score depends on the row."""
    return [part for part in graders_of(spec) if _part_reads_row(part)]


def reads_text(spec: Spec) -> bool:
    """Return whether the score can depend on the completion."""
    return any(_part_reads_text(part) for part in graders_of(spec))


def score_range(spec: Spec) -> tuple[float, float] | None:
    """Return the (minimum, maximum) score that is reached; None if only the author knows it: `python` and `multi`."""
    return None if isinstance(spec, specs.Python | specs.Multi) else spec.bounds


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
    """Return a sentence for each field of the spec that has no effect here, and each thing that it leaves open."""
    sources = [part for part in graders_of(spec) if isinstance(part, specs.Python)]
    notes = [
        *map(_call_remark, sources),
        _range_remark(spec) if isinstance(spec, specs.Multi) else None,
        *_executing_remarks(sources),
    ]
    return [*_tag_remarks(sources), *(note for note in notes if note is not None)]


def _call_remark(part: specs.Python) -> str | None:
    entries = part.entry_point.entries
    if not part.entry_point.known and len(entries) == 1:
        name = entries[0].function
        return f"The source does not show which arguments '{name}' takes: they are known once it runs, so test it."
    if len(entries) == 1:
        return None
    names = ", ".join(f"'{entry.function}'" for entry in entries)
    low, high = part.bounds
    return f"The scores of {names} are added up with equal weights, as TRL does; the sum may be {low:g} to {high:g}."


def _range_remark(spec: specs.Multi) -> str | None:
    """Return a warning if the formula leaves the range where all its parts score highest, or all lowest."""
    formula, (low, high) = spec.formula(), spec.bounds
    for which, end in (("highest", 1), ("lowest", 0)):
        parts = {name: part.bounds[end] for name, part in spec.graders.items()}
        try:
            value = formula.value(parts)
        except FormulaError:
            continue
        if not low - ROUNDING <= value <= high + ROUNDING:
            return (
                f"If every part has its {which} score, the formula gives {value:g}, outside the range {low:g} to "
                f"{high:g}, which is an error of the row: change the formula, or the range."
            )
    return None


def _tag_remarks(sources: Sequence[specs.Python]) -> list[str]:
    tags = {part.image_tag for part in sources if part.image_tag is not None}
    libraries = ", ".join(MODULES[:6])
    return [
        f"The image_tag '{tag}' has no effect: it selects OpenAI's library image, but Python graders run with this "
        f"server's libraries: the standard library, {libraries}."
        for tag in sorted(tags)
    ]


def _executing_remarks(sources: Sequence[specs.Python]) -> list[str]:
    return [
        f"The source calls `{name}`: code of a completion that it executes runs in the verifier's own process, and can "
        f"set its own score there. `import {MODEL_CODE}` runs such code in another process."
        for name in sorted({name for part in sources for name in _executed_by(part)})
    ]


def _executed_by(part: specs.Python) -> Iterator[str]:
    """Yield the builtins by which the source executes texts."""
    for node in ast.walk(parse_source(part.source)):
        match node:
            case ast.Call(func=ast.Name(id="exec" | "eval" as name)):
                yield name


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
            reference = row_reference(part, item=item, answer=answer)
            if reference is not None:
                references[name].append(reference)
    found = {name: read_column(texts) for name, texts in references.items()}
    read = {n: p.model_copy(update={"decimal_mark": found[n].decimal_mark}) for n, p in open_numbers.items()}
    if isinstance(spec, specs.Multi):
        return spec.model_copy(update={"graders": {**spec.graders, **read}}), found
    return read[""], found


def row_reference(part: TextGrader, *, item: Mapping[str, object], answer: str | None) -> str | None:
    """Return the text that the grader compares with on this row; None if the row lacks it."""
    return answer if part.reference is None else render_from_row(part.reference, item=item)


def render_from_row(template: str, *, item: Mapping[str, object]) -> str | None:
    """Fill the template from the row; None if it uses the completion, or a value that the row lacks."""
    if any(path[0] == "sample" for path in templates.parse(template).paths):
        return None
    try:
        return templates.render(template, item=item, sample={"output_text": ""})
    except AppError:
        return None


def _part_reads_text(part: Single) -> bool:
    return not isinstance(part, specs.Python) or not part.entry_point.known or bool(_names_read(part, of_text=True))


def _part_reads_row(part: Single) -> bool:
    if isinstance(part, specs.Python):
        entry = part.entry_point
        return not entry.known or entry.every_column or bool(_names_read(part, of_text=False))
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
        if value not in _METADATA_VALUES
        and ((value in _COMPLETION_VALUES) == of_text or (value in _ROW_VALUES_TOO and not of_text))
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
