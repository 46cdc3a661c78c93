"""Outside: what goes into the sandbox for a spec: its program, a line of JSON a row, how many rows share a process.

Templates are rendered here, because they are look-ups and no code.
"""

import json

from backend.errors import AppError
from backend.verifiers import specs, templates
from backend.verifiers.record import ScoreRecord, ScoreStatus, error_record
from backend.verifiers.templates import OutputPathError, Sample
from worker.sandbox.policy import SandboxLimits

Programmed = (
    specs.StringCheck
    | specs.TextSimilarity
    | specs.Regex
    | specs.Python
    | specs.Number
    | specs.Math
    | specs.ChoiceGrader
    | specs.JsonSchema
)
"""What a program can be made of; `multi` combines the records of others, and a model answers elsewhere."""


def program(spec: Programmed) -> bytes:
    """grading.py's program for a spec."""
    fields: dict[str, object] = {"kind": spec.type}
    match spec:
        case specs.Python():
            entry = spec.entry_point
            columns = {
                "required": entry.required_columns,
                "optional": entry.optional_columns,
                "every": entry.every_column,
            }
            fields |= {
                "source": spec.source,
                "function": entry.function,
                "arguments": dict(entry.arguments),
                "chat": entry.chat,
                "extra_keys": entry.signature.name == "verl",
                "columns": columns if entry.takes_batches else None,
            }
        case specs.Regex():
            group = specs.ANSWER_GROUP if spec.compares else None
            fields |= {"pattern": spec.pattern, "flags": spec.flag_bits, "group": group}
        case specs.StringCheck():
            fields |= {"operation": spec.operation}
        case specs.TextSimilarity():
            fields |= {"metric": spec.evaluation_metric}
        case specs.Number():
            fields |= {"widths": spec.widths, "units": spec.units}
        case specs.ChoiceGrader():
            fields |= {"choices": spec.choices}
        case specs.JsonSchema():
            fields |= {"schema": spec.json_schema}
    return json.dumps(fields).encode()


def rows_of_a_process(spec: Programmed, limits: SandboxLimits) -> int:
    if not isinstance(spec, specs.Python):
        return limits.own_batch_rows
    if spec.isolation == "call":
        return 1
    together = spec.entry_point.takes_batches or not spec.one_process_a_call
    return limits.batch_rows if together else 1


def row(spec: Programmed, sample: Sample) -> bytes | ScoreRecord:
    """The line of JSON for grading.py, or the record where the templates already decide it.

    An item that lacks a path is an error. Output that lacks one (`sample.output_json`) is an answer that fails: 0.
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
        return error_record(f"the row cannot be sent to the sandbox: {error}")


def _python_row(spec: specs.Python, sample: Sample) -> dict[str, object]:
    row: dict[str, object] = {"output_text": sample.output_text, "item": dict(sample.item), "answer": sample.answer}
    if sample.messages is not None and spec.entry_point.reads_prompt:
        row["messages"] = [dict(message) for message in sample.messages]
    return row


def _texts(spec: specs.TextGrader | specs.JsonSchema, sample: Sample) -> tuple[str, str | None]:
    reference = sample.answer
    if isinstance(spec, specs.TextGrader) and spec.reference is not None:
        reference = rendered(spec.reference, sample)
    return rendered(spec.input, sample), reference


def rendered(template: str, sample: Sample) -> str:
    if template == specs.OUTPUT_TEXT:
        return sample.output_text
    return templates.render(template, item=sample.item, sample={"output_text": sample.output_text})
