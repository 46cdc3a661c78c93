"""Equality of dates in any notation."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''import re
from dateutil.parser import ParserError, parse

DAY_FIRST = False  # True if 3/5/2021 means 3 May
MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
DATES = re.compile(
    r"\\d{4}-\\d{1,2}-\\d{1,2}"
    r"|\\d{1,2}[./-]\\d{1,2}[./-]\\d{2,4}"
    rf"|\\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{MONTH})[a-z]*\\.?,? \\d{{4}}"
    rf"|(?:{MONTH})[a-z]*\\.? \\d{{1,2}}(?:st|nd|rd|th)?,? \\d{{4}}",
    re.IGNORECASE,
)


def day(text):
    """Return the last date in the text, or None."""
    for found in reversed(DATES.findall(text)):
        try:
            return parse(found.replace(" of ", " "), dayfirst=DAY_FIRST and "-" not in found[:5]).date()
        except (ParserError, OverflowError):
            continue
    return None


def grade(completion, answer):
    expected = day(str(answer))
    if expected is None:
        raise ValueError(f"the reference {answer!r} is not a date")
    given = day(completion)
    return {"score": float(given == expected), "reason": f"found {given}"}
'''

VERIFIER = ReadyMade(
    id="date",
    name="Date",
    use="Due dates and deadlines: 2021-05-03, May 3, 2021 and 3rd of May 2021 are the same day.",
    grader={"type": "python", "source": SOURCE},
    examples=(
        Example({"answer": "2021-05-03"}, "It is due on May 3rd, 2021.", 1.0),
        Example({"answer": "2021-05-03"}, "3rd of May 2021", 1.0),
        Example({"answer": "2021-05-03"}, "5/3/2021", 1.0),
        Example({"answer": "2021-05-03"}, "2021-03-05", 0.0),
        Example({"answer": "2021-05-03"}, "soon", 0.0),
    ),
)
