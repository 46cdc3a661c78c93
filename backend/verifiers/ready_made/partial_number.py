"""Full marks for the right number, half marks for a close one."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''import re


def grade(completion, answer):
    """Return 1 for the right number, 0.5 for a number within 5 % of it."""
    text = completion.replace(",", "")
    numbers = re.findall(r"-?\\d+(?:\\.\\d+)?", text)
    if not numbers:
        return {"score": 0.0, "reason": "the text has no number"}
    given, expected = float(numbers[-1]), float(answer)
    if given == expected:
        return 1.0
    close = abs(given - expected) <= 0.05 * abs(expected)
    score = 0.5 if close else 0.0
    return {"score": score, "reason": f"found {given:g}"}
'''

VERIFIER = ReadyMade(
    id="partial-number",
    name="Right number, with partial credit",
    use="Estimates and calculations in which a close result deserves partial credit.",
    grader={"type": "python", "source": SOURCE},
    examples=(
        Example({"answer": "200"}, "That makes 200", 1.0),
        Example({"answer": "200"}, "about 195", 0.5),
        Example({"answer": "200"}, "100", 0.0),
        Example({"answer": "200"}, "no idea", 0.0),
    ),
)
