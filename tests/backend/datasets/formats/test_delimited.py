"""The delimiter of a table without a known header."""

import pytest

from backend.datasets.formats.delimited import delimiter_of


@pytest.mark.parametrize(
    ("lines", "delimiter"),
    [
        (["12,000\tyes", "13,500\tno", "9,750\tyes"], "\t"),
        (["a,b", "1,2", "3,4"], ","),
        (["one, two\tb", "three\t2", "four\t4"], "\t"),
        (["a,b", "x\ty,2", "z,4"], ","),
        (["a;b", "1,5;2", "3,5;4"], ";"),
    ],
)
def test_cells_copied_from_a_spreadsheet_are_split_at_tabs(lines: list[str], delimiter: str) -> None:
    assert delimiter_of("\n".join([*lines, ""]), min_share=0.5) == delimiter
