"""Self-checks say how references are read, and which are read alike, in part, or not at all."""

import pytest

from backend.verifiers.selfcheck import self_check
from backend.verifiers.specs import parse_spec
from tests.worker.sandbox.selfchecks import checked, finding, rows_of


def test_it_says_how_references_of_each_form_are_read(sandbox):
    answers = ["12,000", "12", "5 km/h", *(str(number) for number in range(100, 130))]
    result = checked(sandbox, {"type": "number"}, rows_of(*answers[:3]), more_rows=rows_of(*answers))
    read = {one["reference"]: (one["read"], one["lost"]) for one in result["readings"]}
    assert read["12,000"] == ("12000", "")
    assert read["5 km/h"] == ("5", "km/h")
    assert len(read) == 4, "two of each form"
    assert "`12,000` as 12000" in finding(result, "references_read")["message"]
    assert "`5 km/h` as 5 without `km/h`" in finding(result, "references_cut")["message"]
    assert finding(result, "references_cut")["level"] == "warn"


@pytest.mark.parametrize(
    ("grader", "answers", "message"),
    [
        ({"type": "number", "decimal_mark": ","}, ["12,000", "12", "3,5"], "`12,000` and `12` both as 12"),
        ({"type": "number"}, ["5 km/h", "7", "5 mph"], "`5 km/h` and `5 mph` both as 5"),
    ],
)
def test_references_that_differ_but_are_read_alike_are_found(sandbox, grader, answers, message):
    result = checked(sandbox, grader, rows_of(*answers))
    assert message in finding(result, "references_alike")["message"]
    assert finding(result, "references_alike")["level"] == "warn"


def test_references_that_cannot_be_read_are_found_among_rows_that_are_not_tried(sandbox):
    result = checked(sandbox, {"type": "number"}, rows_of("7", "8"), more_rows=rows_of("7", "8", "9", "none"))
    assert "1 of 4 sampled references cannot be read" in finding(result, "references_unreadable")["message"]
    assert {"grader": "", "reference": "none", "read": None, "lost": ""} in result["readings"]


def test_only_a_few_references_are_read_once_the_time_is_over(sandbox):
    many = rows_of(*(str(number) for number in range(10, 90)))
    sizes = []

    def read(grader, references):
        sizes.append(len(references))
        return sandbox.read(grader, references)

    spec = parse_spec({"type": "number"})
    for budget_s in (60.0, 0.0):
        self_check(
            many[:1], spec=spec, grade=lambda samples: sandbox.grade(spec, samples), read=read, more_rows=many,
            budget_s=budget_s,
        )  # fmt: skip
    assert sizes == [8] * 6 + [8]
