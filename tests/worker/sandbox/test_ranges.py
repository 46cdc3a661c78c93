"""The range of a verifier's scores: what lies beyond is an error of its row."""

import pytest

from backend.verifiers.grader import MAX_SCORE
from backend.verifiers.specs import parse_spec
from tests.worker.sandbox.verifiers import outcomes, sample
from worker.engine.rollouts.reward import MAX_REWARD

pytestmark = pytest.mark.usefixtures("python_allowed")

RETURNS_X = "def grade(item, output_text):\n    return item['x']\n"


def graded(sandbox, *values, grader=None, **options):
    spec = parse_spec((grader or {"type": "python", "source": RETURNS_X}) | options)
    return sandbox.grade(spec, [sample(x=value) for value in values])


@pytest.mark.parametrize(
    ("bounds", "inside", "beyond"),
    [
        (None, (0, 1, 0.5, True), (1.01, -0.01, 1e300, 5)),
        ([0, 5], (0, 5, 2.5), (5.1, -1)),
        ([-1, 0], (-1, 0, -0.5), (0.1, -1.1)),
        ([-1e6, 1e6], (1e6, -1e6, 7), (1e7, -1e300)),
    ],
)
def test_a_score_beyond_the_range_is_an_error_of_its_row_that_names_both(sandbox, bounds, inside, beyond):
    options = {} if bounds is None else {"range": bounds}
    records = graded(sandbox, *inside, *beyond, **options)
    assert outcomes(records) == [(float(value), "ok") for value in inside] + [(None, "error")] * len(beyond)
    low, high = bounds or (0, 1)
    for record, value in zip(records[len(inside) :], beyond, strict=True):
        assert record.reason.startswith(f"out of range: the score {value:.12g} is not within {low:g} to {high:g}")


def test_a_sum_that_misses_an_end_by_rounding_is_that_end(sandbox):
    records = graded(sandbox, 1.0000000000000002, -1e-17, 1.000001)
    assert outcomes(records) == [(1.0, "ok"), (0.0, "ok"), (None, "error")]


def test_what_is_printed_and_its_parts_stay_with_a_score_beyond_the_range(sandbox):
    source = "def grade(item, output_text):\n    print('hm')\n    return {'score': 7, 'components': {'a': 2}}\n"
    (record,) = graded(sandbox, 0, grader={"type": "python", "source": source})
    assert (record.status.value, record.stdout, record.components) == ("error", "hm\n", {"a": 2.0})


def test_an_error_that_counts_as_zero_does_so_beyond_the_range_too(sandbox):
    (record,) = graded(sandbox, 5, error_counts_as_zero=True)
    assert (record.score, record.status.value) == (0.0, "ok")
    assert "the score 5 is not within 0 to 1" in record.reason


def test_several_functions_add_up_to_their_number(sandbox):
    source = "".join(f"def part_{n}(completions, x, **kwargs):\n    return x\n" for n in range(3))
    grader = {"type": "python", "source": source}
    assert outcomes(graded(sandbox, 1, 0.5, grader=grader)) == [(3.0, "ok"), (1.5, "ok")]
    assert outcomes(graded(sandbox, 1.5, grader=grader)) == [(None, "error")]
    assert outcomes(graded(sandbox, 1, 0.25, grader=grader, range=[0, 1])) == [(None, "error"), (0.75, "ok")]


PART = {"type": "python", "source": RETURNS_X}


@pytest.mark.parametrize(
    ("multi", "value", "outcome", "reason"),
    [
        ({"graders": {"a": PART}, "calculate_output": "a / 2"}, 2, (None, "error"), "a: out of range: the score 2"),
        ({"graders": {"a": PART | {"range": [0, 2]}}, "calculate_output": "a / 2"}, 2, (1.0, "ok"), None),
        ({"graders": {"a": PART}, "calculate_output": "a + 1"}, 1, (None, "error"), "out of range: the score 2"),
        ({"graders": {"a": PART}, "calculate_output": "a + 1", "range": [1, 2]}, 1, (2.0, "ok"), None),
        ({"graders": {"a": PART}, "calculate_output": "a * (0.1 + 0.2) / 0.3"}, 1, (1.0, "ok"), None),
    ],
)
def test_a_part_keeps_its_range_and_the_formula_has_its_own(sandbox, multi, value, outcome, reason):
    (record,) = graded(sandbox, value, grader={"type": "multi"} | multi)
    assert (record.score, record.status.value) == outcome
    assert (reason or "") in (record.reason or "")


def test_no_range_is_wider_than_what_the_engine_takes():
    assert MAX_SCORE == MAX_REWARD
