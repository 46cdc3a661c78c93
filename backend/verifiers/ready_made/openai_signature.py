"""A template with the signature of OpenAI's Python graders."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''def grade(sample, item) -> float:
    """The signature of OpenAI's Python graders."""
    expected = str(item["answer"])
    return 1.0 if expected in sample["output_text"] else 0.0
'''

VERIFIER = ReadyMade(
    id="openai-signature",
    name="OpenAI signature",
    use="Python graders written for OpenAI's reinforcement fine-tuning run unchanged.",
    grader={"type": "python", "source": SOURCE},
    examples=(
        Example({"answer": "42"}, "It is 42.", 1.0),
        Example({"answer": "42"}, "It is 41.", 0.0),
    ),
)
