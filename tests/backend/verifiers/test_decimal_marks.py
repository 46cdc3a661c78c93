"""How a column of references is read, told once for all of its rows."""

import pytest

from backend.jobs.notices import number_notices
from backend.verifiers.reading import with_decimal_marks
from backend.verifiers.specs import parse_spec

NUMBER = {"type": "number"}


def rows(*answers):
    return [({"right": answer}, answer) for answer in answers]


@pytest.mark.parametrize(
    ("answers", "mark", "notice"),
    [
        (("5", "12,000", "1.5"), ".", None),
        (("1.234,50", "1.500"), ",", "info"),
        (("12,000", "5,500"), ".", "warn"),
        (("3", None), ".", None),
    ],
)
def test_an_open_mark_follows_from_the_references(answers, mark, notice):
    spec, columns = with_decimal_marks(parse_spec(NUMBER), rows(*answers))
    assert spec.decimal_mark == mark
    assert [found.level for found in number_notices(columns.values())] == ([notice] if notice else [])


def test_a_mark_that_is_set_stays():
    spec, columns = with_decimal_marks(parse_spec(NUMBER | {"decimal_mark": "."}), rows("1,5", "2,5"))
    assert (spec.decimal_mark, columns) == (".", {})


def test_each_grader_of_several_has_its_own_column():
    graders = {
        "own": NUMBER | {"name": "own", "reference": "{{item.price}}"},
        "row": NUMBER | {"name": "row"},
        "text": {"type": "regex", "name": "text", "pattern": "x"},
    }
    spec = parse_spec({"type": "multi", "name": "all", "graders": graders, "calculate_output": "own + row + text"})
    found, columns = with_decimal_marks(spec, [({"price": "1,5"}, "1.5"), ({"price": "2,25"}, "2.5")])
    assert (found.graders["own"].decimal_mark, found.graders["row"].decimal_mark) == (",", ".")
    assert set(columns) == {"own", "row"}
    assert spec.graders["own"].decimal_mark is None
