"""Excel workbooks: the visible cells of the first visible sheet are read, and errors name their line."""

import io

import pytest

from backend.datasets.formats.json_lines import RawRow
from backend.datasets.rows.source import Format, Table, open_table
from backend.errors import AppError
from tests.backend.datasets.formats.workbooks import workbook

HEADER = ["question", "answer"]


def test_cells_keep_their_type_and_rows_their_line_in_the_sheet() -> None:
    content = workbook([[*HEADER, "vip", "price"], ["Größe?", 12, True, 2.5], [], ["And <this>?", "x", None, -3]])
    with open_table(io.BytesIO(content), filename="prices.xlsx") as table:
        assert (table.format, table.counted_in, table.packing, table.archive) == (Format.EXCEL, "row", None, None)
        rows = [row for row in table.rows if isinstance(row, RawRow)]
    assert [(row.line, row.item) for row in rows] == [
        (2, {"question": "Größe?", "answer": 12, "vip": True, "price": 2.5}),
        (4, {"question": "And <this>?", "answer": "x", "vip": "", "price": -3}),
    ]
    assert isinstance(rows[0].item["answer"], int)


def test_the_first_visible_sheet_is_read_from_its_first_used_line() -> None:
    content = workbook([["secret"], ["x"]], [HEADER, ["a", "b"]], [["more"]], hidden=[0], first_line=5)
    assert [(row.line, row.item) for row in rows_of(content)] == [(6, {"question": "a", "answer": "b"})]


def test_trailing_columns_without_a_name_are_ignored_if_empty() -> None:
    rows = list(read(workbook([[*HEADER, ""], ["a", "b", None], ["c", "d", "stray"]])))
    assert [(row.line, getattr(row, "code", None)) for row in rows] == [(2, None), (3, "wrong_cell_count")]


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (workbook([["question", None, "answer"], ["a", "b", "c"]]), "invalid_header", "no name for column 2"),
        (workbook([["question", "question"], ["a", "b"]]), "invalid_header", "'question' twice"),
        (workbook([HEADER, ["a", "b"]], hidden=[0]), "invalid_workbook", "no visible sheet"),
        (workbook([HEADER, ["a", "b"]]).replace(b"xl/s0.xml", b"xl/s1.xml"), "invalid_workbook", "cannot be read"),
    ],
)
def test_a_workbook_that_is_not_a_table_is_refused(content: bytes, code: str, message: str) -> None:
    with pytest.raises(AppError) as refused:
        list(read(content))
    assert (refused.value.code, refused.value.param) == (code, "file")
    assert message in refused.value.message


def test_an_empty_sheet_has_no_rows() -> None:
    assert list(read(workbook([]))) == []
    assert list(read(workbook([HEADER]))) == []


def read(content: bytes):
    with open_table(io.BytesIO(content), filename="a.xlsx") as table:
        assert isinstance(table, Table)
        yield from table.rows


def rows_of(content: bytes) -> list[RawRow]:
    return [row for row in read(content) if isinstance(row, RawRow)]
