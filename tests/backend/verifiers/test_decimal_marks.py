"""How a column of references is read, told once for all of its rows."""

import pytest

from backend.jobs.notices import number_notices
from backend.verifiers.decimal_marks import read_column
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


@pytest.mark.parametrize(
    ("references", "mark", "certain"),
    [
        (["5", "7"], ".", True),
        (["12,000", "5"], ".", False),
        (["1.500", "2.250"], ".", False),
        (["1,234.5", "12,000"], ".", True),
        (["1.5", "12,000"], ".", True),
        (["1.234,50", "1.500"], ",", True),
        (["1,5", "12,000"], ",", True),
        (["1,50 €", "2,25 €", "1.200 €"], ",", True),
        (["1,5", "2,5", "3.5"], ",", False),
        (["$1,250.00", "900"], ".", True),
        (["no number"], ".", True),
        (["(1,5)", "12,000"], ".", False),
        (["1,5 m^2", "1.200 m^2"], ",", True),
        (["1,5e3", "1.200"], ",", True),
        (["1.000.000", "1.500"], ",", True),
        (["1,000,000", "1,500"], ".", True),
        (["1,00,000", "1,500"], ".", True),
        (["9'500.50", "1,500"], ".", True),
        (["12 345,67", "1,500"], ",", True),
        (["9'500", "9 500"], ".", True),
        (["24.12.2024", "1.500"], ".", False),
        ([r"\frac{1,5}{2}", "1.500"], ",", True),
        (["1,2,3", "1.500"], ".", False),
        (["The price is 1,234.", "2.5"], ".", True),
        (["0.125", "1,500"], ".", True),
        (["1/2", "3:4", "π/4"], ".", True),
        (["2,3,5"], ".", True),
        (["1{,}5", "2.000"], ",", True),
        (["-1,5 %"], ",", True),
    ],
)
def test_a_columns_decimal_mark_follows_from_the_values_that_can_be_read_in_one_way(references, mark, certain):
    found = read_column(references)
    assert (found.decimal_mark, found.certain) == (mark, certain)


def test_what_stays_ambiguous_is_named_by_its_values():
    (unclear,) = number_notices([read_column(["12,000", "5"])])
    assert "'12,000' can be read" in unclear.message
    (mixed,) = number_notices([read_column(["1,5", "2.5", "1,234"])])
    assert "'2.5'" in mixed.message
    assert "'1,5'" in mixed.message
    assert "decimal point. If" in mixed.message
