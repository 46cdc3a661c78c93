"""JSON that is valid under a schema and contains the right value."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "confidence": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["answer"],
    "additionalProperties": False,
}

VERIFIER = ReadyMade(
    id="json-with-schema",
    name="JSON with a schema",
    use="Extraction and tool calls: a fifth of the score for valid JSON, the rest for the right value in it.",
    grader={
        "type": "multi",
        "graders": {
            "form": {"type": "json_schema", "schema": SCHEMA},
            "right": {
                "type": "string_check",
                "input": "{{sample.output_json.answer}}",
                "reference": "{{item.answer}}",
                "operation": "eq",
            },
        },
        "calculate_output": "0.2 * form + 0.8 * form * right",
    },
    examples=(
        Example({"answer": "Paris"}, '{"answer": "Paris", "confidence": 0.9}', 1.0),
        Example({"answer": "Paris"}, '{"answer": "Lyon"}', 0.2),
        Example({"answer": "Paris"}, '{"answer": "Paris", "why": "known"}', 0.0),
        Example({"answer": "Paris"}, "Paris", 0.0),
    ),
)
