"""A template with the signature of OpenAI's Python graders."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''def grade(sample, item) -> float:
    """The signature of OpenAI's Python graders: 1 if the text ends in the answer."""
    text = " " + " ".join(sample["output_text"].split()).rstrip(".")
    return 1.0 if text.endswith(" " + str(item["answer"])) else 0.0
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
