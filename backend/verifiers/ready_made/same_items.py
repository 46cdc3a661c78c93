"""Lists with the same items, in any order."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''import json
import re

IN_ORDER = False  # True if the order counts


def items_of(value):
    """Return the items of a list, of JSON, or of the last line split at commas, semicolons and "and"."""
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
    """Return the overlap with the right answer (F1, 0 to 1); with IN_ORDER 1 or 0."""
    expected, given = items_of(answer), items_of(completion)
    if IN_ORDER:
        return float(given == expected)
    if not given or not expected:
        return float(given == expected)
    common = len(set(given) & set(expected))
    return 2 * common / (len(given) + len(set(expected)))
'''

VERIFIER = ReadyMade(
    id="same-items",
    name="Same items, any order",
    use="Lists and sets: tags, names, findings. Missing, extra and repeated items lower the score.",
    grader={"type": "python", "source": SOURCE},
    examples=(
        Example({"answer": ["red", "blue"]}, "The colours are: blue and red.", 1.0),
        Example({"answer": "red, blue"}, '["Blue", "Red"]', 1.0),
        Example({"answer": ["red", "blue"]}, "red", 2 / 3),
        Example({"answer": ["red", "blue"]}, "red, red, red, red", 2 / 6),
        Example({"answer": ["red", "blue"]}, "", 0.0),
    ),
)
