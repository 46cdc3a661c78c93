"""The last line of the completion is the answer, whatever the case, dots and spaces."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''def grade(completion, answer):
    """1 when the last line is the row's answer, else 0."""
    lines = completion.strip().splitlines()
    if not lines:
        return 0.0
    said = lines[-1].removeprefix("Answer:").strip(" .")
    right = str(answer).strip()
    return 1.0 if said.lower() == right.lower() else 0.0
'''

VERIFIER = ReadyMade(
    id="exact",
    name="Last line is the answer",
    use="Short answers that have one right wording: names, codes, categories.",
    grader={"type": "python", "source": SOURCE},
    examples=(
        Example({"answer": "Paris"}, "The capital is asked for.\nAnswer: paris.", 1.0),
        Example({"answer": 42}, "42", 1.0),
        Example({"answer": "Paris"}, "Paris\nor Lyon", 0.0),
        Example({"answer": "Paris"}, "", 0.0),
    ),
)
