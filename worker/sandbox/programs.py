"""Outside: converts a spec and its rows for the sandbox: the program, one JSON line per row, rows per process.

Templates are rendered here, outside, because they are look-ups and not code.
"""

import json

from backend.errors import AppError
from backend.verifiers import specs, templates
from backend.verifiers.entry_points import Entry
from backend.verifiers.record import ScoreRecord, ScoreStatus, error_record
from backend.verifiers.templates import OutputPathError, Sample
from worker.sandbox.policy import SandboxLimits
from worker.sandbox.read_as import may_read_messages

SandboxSpec = (
    specs.StringCheck
    | specs.TextSimilarity
    | specs.Regex
    | specs.Python
    | specs.Number
    | specs.Math
    | specs.ChoiceGrader
    | specs.JsonSchema
)
"""Specs graded in the sandbox; `multi` combines records of other specs, and judges are called from outside."""


ReadoutSpec = specs.Number | specs.Math | specs.ChoiceGrader
"""Specs that say how they read a reference."""


def program(spec: SandboxSpec, *, reads_out: bool = False) -> bytes:
    """Encode the program of a spec for grading.py. `reads_out`: to say how it reads references, not to score."""
    fields: dict[str, object] = {"kind": f"{spec.type}_readout" if reads_out else spec.type}
    match spec:
        case specs.Python():
            fields |= {
                "source": spec.source,
                "entries": [_entry(entry) for entry in spec.entry_point.entries],
                "batched": spec.may_take_batches,
                "alone": spec.one_process_per_call,
                "messages": may_read_messages(spec.source),
            }
        case specs.Regex():
            group = specs.ANSWER_GROUP if spec.needs_reference else None
            fields |= {"pattern": spec.pattern, "flags": spec.flag_bits, "group": group}
        case specs.StringCheck():
            fields |= {"operation": spec.operation}
        case specs.TextSimilarity():
            fields |= {"metric": spec.evaluation_metric}
        case specs.Number():
            decimal_mark = spec.decimal_mark or "."
            fields |= {"tolerances": spec.tolerances, "units": spec.units, "decimal_mark": decimal_mark}
        case specs.ChoiceGrader():
            fields |= {"choices": spec.choices}
        case specs.JsonSchema():
            fields |= {"schema": spec.json_schema}
    return json.dumps(fields).encode()


def _entry(entry: Entry) -> dict[str, object]:
    shown = None if entry.parameters is None else entry.parameters.to_json()
    return {"function": entry.function, "line": entry.line, "parameters": shown, "certain": entry.certain}


def rows_per_process(spec: SandboxSpec, limits: SandboxLimits) -> int:
    if not isinstance(spec, specs.Python):
        return limits.own_batch_rows
    if spec.isolation == "call":
        return 1
    together = spec.may_take_batches or not spec.one_process_per_call
    return limits.batch_rows if together else 1


def row(spec: SandboxSpec, sample: Sample) -> bytes | ScoreRecord:
    """Encode the row as a JSON line for grading.py, or return the record if rendering the templates already decides it.

    A path missing in the item is an error. A path missing in the output (`sample.output_json`) scores 0.
    """
    try:
        return json.dumps(
            _python_row(spec, sample) if isinstance(spec, specs.Python) else _texts(spec, sample)
        ).encode()
    except OutputPathError as error:
        return ScoreRecord(score=0.0, status=ScoreStatus.OK, reason=error.message)
    except AppError as error:
        return error_record(error.message)
    except (TypeError, ValueError, RecursionError) as error:
        return error_record(f"the row cannot be encoded for the sandbox: {error}")


def _python_row(spec: specs.Python, sample: Sample) -> dict[str, object]:
    row: dict[str, object] = {"output_text": sample.output_text, "item": dict(sample.item), "answer": sample.answer}
    if sample.messages is not None and spec.entry_point.may_read_prompt:
        row["messages"] = [dict(message) for message in sample.messages]
    return row


def _texts(spec: specs.TextGrader | specs.JsonSchema, sample: Sample) -> tuple[str, str | tuple[str, ...] | None]:
    """Return the text and what it is compared with: one reference, or several of which any one is right."""
    reference = sample.answer
    if isinstance(spec, specs.TextGrader) and spec.reference is not None:
        given = rendered(spec.reference, sample)
        reference = reference if _names_all(given, reference) else given
    return rendered(spec.input, sample), reference


def _names_all(given: str, reference: str | tuple[str, ...] | None) -> bool:
    """Return whether a rendered `reference` is the list of the row's right answers, such as `{{item.answers}}`."""
    if not isinstance(reference, tuple) or not given.startswith("["):
        return False
    try:
        listed = json.loads(given)
    except ValueError:
        return False
    return isinstance(listed, list) and {str(each) for each in listed} == set(reference)


def rendered(template: str, sample: Sample) -> str:
    if template == specs.OUTPUT_TEXT:
        return sample.output_text
    return templates.render(template, item=sample.item, sample={"output_text": sample.output_text})
