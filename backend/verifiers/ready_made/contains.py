"""The text contains the answer."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

VERIFIER = ReadyMade(
    id="contains",
    name="Text contains the answer",
    use="For a first try. A model soon learns to list every answer it knows, so train with a stricter verifier.",
    grader={
        "type": "string_check",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "operation": "ilike",
    },
    examples=(
        Example({"answer": "Paris"}, "I think it is paris", 1.0),
        Example({"answer": "Paris"}, "London", 0.0),
    ),
)
