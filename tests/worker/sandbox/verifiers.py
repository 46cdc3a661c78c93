"""Helpers of the tests: specs, samples, and the compared parts of records."""

from backend.verifiers.specs import parse_spec
from backend.verifiers.templates import Sample


def python(source, **options):
    """A verifier with a range that holds whatever a test returns, unless the test sets one."""
    wide = {"range": [-1e6, 1e6]}
    return parse_spec({"type": "python", "name": "test", "source": source} | wide | options)


def body(lines, *, head=""):
    """`grade(sample, item)` with the given lines as its body."""
    indented = "\n".join("    " + line for line in lines.strip("\n").splitlines())
    return f"{head}\ndef grade(sample, item):\n{indented}\n"


def regex(pattern, **options):
    return parse_spec({"type": "regex", "pattern": pattern} | options)


def string_check(operation, *, given="{{sample.output_text}}", reference="{{item.answer}}"):
    return parse_spec({"type": "string_check", "input": given, "reference": reference, "operation": operation})


def sample(text="", *, answer=None, **item):
    return Sample(output_text=text, item=item, answer=answer)


def outcomes(records):
    return [(record.score, record.status.value) for record in records]
