"""Full marks for the right number, half of them for one that is close."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''import re


def grade(completion, answer):
    """1 for the right number, a half within 5 % of it."""
    text = completion.replace(",", "")
    numbers = re.findall(r"-?\\d+(?:\\.\\d+)?", text)
    if not numbers:
        return {"score": 0.0, "reason": "the text has no number"}
    said, right = float(numbers[-1]), float(answer)
    if said == right:
        return 1.0
    close = abs(said - right) <= 0.05 * abs(right)
    score = 0.5 if close else 0.0
    return {"score": score, "reason": f"said {said:g}"}
'''

VERIFIER = ReadyMade(
    id="partial-number",
    name="Right number, with partial credit",
    use="Estimates and calculations, where being close is worth something.",
    grader={"type": "python", "source": SOURCE},
    examples=(
        Example({"answer": "200"}, "That makes 200", 1.0),
        Example({"answer": "200"}, "about 195", 0.5),
        Example({"answer": "200"}, "100", 0.0),
        Example({"answer": "200"}, "no idea", 0.0),
    ),
)
