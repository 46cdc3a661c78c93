"""The signature of OpenAI's Python graders, to begin from when one is brought along."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''def grade(sample, item) -> float:
    """The signature of OpenAI's Python graders."""
    right = str(item["answer"])
    return 1.0 if right in sample["output_text"] else 0.0
'''

VERIFIER = ReadyMade(
    id="openai-signature",
    name="OpenAI signature",
    use="A Python grader made for OpenAI's reinforcement fine-tuning runs as it is.",
    grader={"type": "python", "source": SOURCE},
    examples=(
        Example({"answer": "42"}, "It is 42.", 1.0),
        Example({"answer": "42"}, "It is 41.", 0.0),
    ),
)
