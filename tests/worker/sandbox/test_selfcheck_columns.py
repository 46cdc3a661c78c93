"""Self-checks of verifiers that compare with a column that no row has, or with the working."""

from dataclasses import replace

import pytest

from backend.verifiers.selfcheck import ProbeRow
from tests.worker.sandbox.selfchecks import checked, finding, python

SUMS = [
    ProbeRow(
        number=n,
        item={"question": f"{n} + {n}?", "answer": f"Take {n} twice.\n#### {n + n + 1000:,}"},
        answer=f"{n + n + 1000:,}",
        solution=f"Take {n} twice.",
    )
    for n in range(6)
]


def test_a_verifier_that_compares_with_the_working_fails(sandbox):
    grader = python("return float(output_text.strip() == item['answer'].split('####')[0].strip())")
    result = checked(sandbox, grader, SUMS)
    assert finding(result, "working_only")["level"] == "fail"
    worked = [replace(row, solution=f"{row.solution} That is {row.answer}.") for row in SUMS]
    worked = [replace(row, item={"answer": row.solution}) for row in worked]
    result = checked(sandbox, python("return float(output_text.strip() == item['answer'])"), worked)
    assert finding(result, "working_only")["level"] == "warn"
    result = checked(sandbox, python("return float(item['answer'].endswith('#### ' + output_text))"), SUMS)
    assert "working_only" not in {found["code"] for found in result["findings"]}


TRL = "def reward(completions, **kwargs):\n    return [float(c == s) for c, s in zip(completions, {})]"
COMPARE = "    return float(output_text == {})\n"
ABSENT = {
    "a default of a list": (TRL.format("kwargs.get('gt', [None] * 99)"), ["gt"]),
    "no default": (TRL.format("kwargs.get('labels') or [''] * 99"), ["labels"]),
    "a look-up": (TRL.format("kwargs['gt']"), ["gt"]),
    "two of which none is there": (TRL.format("kwargs.get('gt') or kwargs.get('label') or [''] * 99"), ["gt", "label"]),
    "of the row": ("def grade(item, output_text):\n" + COMPARE.format("item.get('gt')"), ["gt"]),
    "another name of the reference in the row": (
        "def grade(item, output_text):\n" + COMPARE.format("item.get('solution')"),
        ["solution"],
    ),
    "next to one that is there": (TRL.format("map(max, kwargs['answer'], kwargs['gt'])"), ["gt"]),
    "the reference": (TRL.format("kwargs.get('solution', [None] * 99)"), []),
    "one of two": (TRL.format("kwargs.get('gt') or kwargs.get('answer')"), []),
    "as a default": ("def grade(item, output_text):\n" + COMPARE.format("item.get('gt', item.get('answer'))"), []),
    "asked for": (TRL.format("kwargs['gt'] if 'gt' in kwargs else kwargs['answer']"), []),
    "where another is missing": (
        (
            "def grade(item, output_text):\n    right = item.get('answer')\n    if right is None:\n"
            "        right = item.get('gt')\n    return float(output_text == right)"
        ),
        [],
    ),
    "a setting": (TRL.format("kwargs.get('answer') if kwargs.get('strict', True) else ['']"), []),
    "a trainer's": (TRL.format("(kwargs.get('trainer_state'), kwargs['answer'])[1]"), []),
    "of something else": (
        "def grade(item, output_text):\n    a = {'gt': output_text}\n    return float(a['gt'] == item['answer'])",
        [],
    ),
}


@pytest.mark.parametrize(("source", "names"), ABSENT.values(), ids=ABSENT)
def test_a_column_that_no_row_has_is_named(sandbox, source, names):
    result = checked(sandbox, {"type": "python", "source": source})
    told = [found["message"] for found in result["findings"] if found["code"] == "absent_column"]
    assert [message.split("'")[1] for message in told] == names
    if not names:
        assert result["verdict"] == "pass", result["findings"]
