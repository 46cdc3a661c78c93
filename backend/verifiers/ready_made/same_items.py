"""The same things in a list, in any order."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''import json
import re

IN_ORDER = False  # True where the order counts


def items_of(value):
    """A list as it is, JSON, or the last line of a text split at commas, semicolons and "and"."""
    if isinstance(value, list):
        return [str(part).strip().casefold() for part in value]
    lines = [line for line in value.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    try:
        listed = json.loads(last)
        if isinstance(listed, list):
            return items_of(listed)
    except ValueError:
        pass
    last = last.split(":")[-1].strip(" .[]{}()")
    parts = re.split(r"\\s*(?:[,;]\\s*(?:and\\s)?|\\sand\\s)\\s*", last)
    return [part.strip(" '\\"").casefold() for part in parts if part.strip(" '\\"")]


def grade(completion, answer):
    """The overlap with the right answer, 0 to 1 (F1); with IN_ORDER all or nothing."""
    right, said = items_of(answer), items_of(completion)
    if IN_ORDER:
        return float(said == right)
    if not said or not right:
        return float(said == right)
    common = len(set(said) & set(right))
    return 2 * common / (len(said) + len(set(right)))
'''

VERIFIER = ReadyMade(
    id="same-items",
    name="Same items, any order",
    use="Lists and sets: tags, names, findings. What is missing, too much or said twice costs.",
    grader={"type": "python", "source": SOURCE},
    examples=(
        Example({"answer": ["red", "blue"]}, "The colours are: blue and red.", 1.0),
        Example({"answer": "red, blue"}, '["Blue", "Red"]', 1.0),
        Example({"answer": ["red", "blue"]}, "red", 2 / 3),
        Example({"answer": ["red", "blue"]}, "red, red, red, red", 2 / 6),
        Example({"answer": ["red", "blue"]}, "", 0.0),
    ),
)
