"""The last line of the completion is the answer, ignoring case, dots and spaces."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''def grade(completion, answer):
    """Return 1 if the last line is the row's answer, else 0."""
    lines = completion.strip().splitlines()
    if not lines:
        return 0.0
    given = lines[-1].removeprefix("Answer:").strip(" .")
    expected = str(answer).strip()
    return 1.0 if given.lower() == expected.lower() else 0.0
'''

VERIFIER = ReadyMade(
    id="exact",
    name="Last line is the answer",
    use="Short answers with a single right wording: names, codes, categories.",
    grader={"type": "python", "source": SOURCE},
    examples=(
        Example({"answer": "Paris"}, "The capital is asked for.\nAnswer: paris.", 1.0),
        Example({"answer": 42}, "42", 1.0),
        Example({"answer": "Paris"}, "Paris\nor Lyon", 0.0),
        Example({"answer": "Paris"}, "", 0.0),
    ),
)
