"""Verifiers to start from: each a whole one that runs as it stands."""

from dataclasses import dataclass

from frontend.shapes import Json

KINDS = {"python": "Python", "regex": "Regular expression", "string_check": "Text comparison"}
KIND_HELP = {
    "python": "A function that gets the row and the text and returns a number, most often 0 to 1.",
    "regex": "Finds the answer in the text. The group (?P<answer>…) is compared with the row's reference answer.",
    "string_check": "Compares the text with a value of the row, without code.",
}
OPERATIONS = {"eq": "is equal to", "ne": "differs from", "like": "contains", "ilike": "contains, ignoring case"}

EXACT = '''def grade(item, output_text):
    """1 when the last line is the row's answer, else 0."""
    lines = output_text.strip().splitlines()
    if not lines:
        return 0.0
    said = lines[-1].removeprefix("Answer:").strip(" .")
    right = str(item["answer"]).strip()
    return 1.0 if said.lower() == right.lower() else 0.0
'''

PARTIAL = '''import re


def grade(item, output_text):
    """1 for the right number, a half within 5 % of it."""
    text = output_text.replace(",", "")
    numbers = re.findall(r"-?\\d+(?:\\.\\d+)?", text)
    if not numbers:
        return {"score": 0.0, "reason": "the text has no number"}
    said, right = float(numbers[-1]), float(item["answer"])
    if said == right:
        return 1.0
    close = abs(said - right) <= 0.05 * abs(right)
    score = 0.5 if close else 0.0
    return {"score": score, "reason": f"said {said:g}"}
'''

OPENAI = '''def grade(sample, item) -> float:
    """The signature of OpenAI's Python graders."""
    right = str(item["answer"])
    return 1.0 if right in sample["output_text"] else 0.0
'''


@dataclass(frozen=True, slots=True)
class Start:
    name: str
    grader: Json


STARTS = (
    Start("Last line is the answer", {"type": "python", "source": EXACT}),
    Start("Right number, with partial credit", {"type": "python", "source": PARTIAL}),
    Start("OpenAI signature", {"type": "python", "source": OPENAI}),
    Start(
        "“answer: …” by pattern", {"type": "regex", "pattern": r"(?im)^.*answer\s*(?:is|:|=)\s*(?P<answer>.+?)\.?\s*$"}
    ),
    Start("#### at the end (GSM8K)", {"type": "regex", "pattern": r"####\s*(?P<answer>[^\n]+)"}),
    Start(
        "Text contains the answer",
        {
            "type": "string_check",
            "input": "{{sample.output_text}}",
            "reference": "{{item.answer}}",
            "operation": "ilike",
        },
    ),
)
