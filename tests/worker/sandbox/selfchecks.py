"""Helpers of the tests of the self-check: rows, and the result of a verifier on them."""

from backend.verifiers.selfcheck import ProbeRow, self_check
from backend.verifiers.specs import parse_spec

WORDS = ("orange", "quince", "medlar", "cherry", "damson", "bilberry")
ROWS = [
    ProbeRow(
        number=number,
        item={"question": f"Which fruit is number {number}?", "answer": word},
        answer=word,
        solution=f"I look it up in the list of fruit.\nAnswer: {word}",
        messages=({"role": "user", "content": f"Which fruit is number {number}?"},),
    )
    for number, word in enumerate(WORDS)
]


def checked(sandbox, grader, rows=ROWS, **options):
    spec = parse_spec(grader)
    return self_check(rows, spec=spec, grade=lambda samples: sandbox.grade(spec, samples), read=sandbox.read, **options)


def python(body, head="", **options):
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return {"type": "python", "source": f"{head}\ndef grade(item, output_text):\n{lines}"} | options


def codes(result, level):
    return {finding["code"] for finding in result["findings"] if finding["level"] == level}


def rows_of(*answers):
    asked = ({"role": "user", "content": "What is it?"},)
    return [
        ProbeRow(number=number, item={"answer": answer}, answer=answer, messages=asked)
        for number, answer in enumerate(answers)
    ]


def finding(result, code):
    return next(finding for finding in result["findings"] if finding["code"] == code)
