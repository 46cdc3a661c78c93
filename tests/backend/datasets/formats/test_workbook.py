"""Excel workbooks: the sheet and the header are found or chosen, and errors name their line."""

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.datasets.formats.json_lines import RawRow
from backend.datasets.formats.layout import Layout
from backend.datasets.formats.problems import Problem
from backend.datasets.rows.shape import ColumnMapping
from backend.datasets.rows.source import Format, Table, open_table
from backend.errors import AppError
from tests.backend.datasets.formats.workbooks import Xml, workbook

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


TABLE = [HEADER, ["a", "b"], ["c", "d"]]
TITLED = [["Exam of spring"], ["by the office", None, "2026"], [], *TABLE]


def test_titles_above_the_header_are_passed_over_and_said_so() -> None:
    assert [row.line for row in rows_of(workbook(TITLED))] == [5, 6]
    layout = layout_of(workbook(TITLED))
    assert (layout.sheet, layout.header_row) == ("s0", 4)
    assert layout.notes == ("The table was found in the sheet 's0', with the column names in line 4.",)


def test_a_table_of_unknown_columns_below_titles_is_found_by_its_width() -> None:
    lines = [["Prüfung"], [], ["Frage", "Antwort", "Punkte"], ["a", "b", 1], ["c", "d", 2]]
    assert rows_of(workbook(lines))[0].item == {"Frage": "a", "Antwort": "b", "Punkte": 1}


def test_a_plain_table_needs_no_note() -> None:
    layout = layout_of(workbook(TABLE))
    assert (layout.sheet, layout.sheets, layout.header_row, layout.notes) == ("s0", ("s0",), 1, ())


def test_a_cover_sheet_is_passed_over_and_the_other_sheets_are_named() -> None:
    content = workbook([["Welcome"], ["see the next sheet"]], [["x", "y"], [1, 2]], TITLED, TABLE, hidden=[3])
    layout = layout_of(content)
    assert (layout.sheet, layout.sheets, layout.header_row) == ("s2", ("s0", "s1", "s2"), 4)
    assert "other sheets: 's0', 's1'." in layout.notes[0]


def test_a_sheet_of_column_names_alone_is_passed_over() -> None:
    assert layout_of(workbook([HEADER], [["x", "y"], [1, 2]], TABLE)).sheet == "s2"
    assert layout_of(workbook([HEADER])).sheet == "s0"


def test_a_sheet_with_a_table_comes_before_one_without_if_no_columns_are_known() -> None:
    assert layout_of(workbook([["Welcome"]], [["Frage", "Antwort"], ["a", "b"]])).sheet == "s1"


COVER = [["Project", "Exam"], ["Author", "Kim"], ["Date", "2026"], ["Version", 3]]
DATA = [["Frage", "Antwort", "Punkte"], *[[f"q{n}", f"a{n}", n] for n in range(3)]]


def test_of_sheets_with_unknown_columns_the_one_with_most_equal_rows_is_read_and_the_wider_of_two() -> None:
    for more in ([], [["q", "a", 1]]):
        for sheets, found in (((COVER, [*DATA, *more]), "s1"), (([*DATA, *more], COVER), "s0")):
            assert layout_of(workbook(*sheets)).sheet == found
    notes = [["Notes"], ["by the office", None, None, "2026", "x"], ["a"], ["b"], ["c"], ["d"]]
    assert layout_of(workbook(notes, DATA)).sheet == "s1"


def test_sheet_and_header_can_be_chosen() -> None:
    content = workbook(TABLE, [["question", "answer"], ["Frage", "Antwort"], ["x", "y"]], hidden=[1])
    chosen = ColumnMapping(sheet="s1", header_row=2)
    assert [row.item for row in rows_of(content, chosen)] == [{"Frage": "x", "Antwort": "y"}]
    assert layout_of(content, chosen).notes == ()


def test_a_header_that_is_refused_is_named_with_its_sheet_and_the_others() -> None:
    with pytest.raises(
        AppError, match=r"'x' twice in line 1\. The sheet 's1' was read; .*`sheet`: 's0', 's2'\."
    ) as error:
        rows_of(workbook([["a"]], [["x", "x"], [1, 2], [3, 4]], [["b"]]))
    assert (error.value.code, error.value.param) == ("invalid_header", "file")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (ColumnMapping(sheet="Sheet9"), "no sheet 'Sheet9'. Its sheets: 's0'."),
        (ColumnMapping(header_row=9), "Line 9 of the sheet is empty"),
    ],
)
def test_a_choice_that_is_not_there_is_refused_by_name(chosen: ColumnMapping, message: str) -> None:
    with pytest.raises(AppError) as refused:
        rows_of(workbook(TABLE), chosen)
    assert (refused.value.code, refused.value.param) == ("invalid_mapping", "mapping")
    assert message in refused.value.message


def test_blank_columns_before_the_table_are_ignored_and_a_stray_cell_there_is_a_bad_row() -> None:
    content = workbook([["title"], [None, *HEADER], [None, "a", "b"], ["stray", "c", "d"]])
    assert [getattr(row, "code", None) for row in read(content)] == [None, "wrong_cell_count"]


@pytest.mark.parametrize("numbers", [[0, 1, 2], [1, 2, 3], [7, 0, 12]])
def test_a_first_column_without_a_name_that_numbers_the_rows_is_left_out_and_said_so(numbers: list[int]) -> None:
    content = workbook([[None, *HEADER], *[[number, "a", number] for number in numbers]])
    assert [row.item for row in rows_of(content)] == [{"question": "a", "answer": number} for number in numbers]
    assert layout_of(content).notes == ("The first column has no name and numbers the rows: it is left out.",)


@pytest.mark.parametrize("first", [["x", 1], [0, 0], [0, None], [0.5, 1], [-1, 0], [True, 2]])
def test_other_cells_without_a_name_are_not_left_out(first: list[str | int | float | None]) -> None:
    content = workbook([[None, *HEADER], *[[cell, "a", "b"] for cell in first]])
    assert "wrong_cell_count" in [getattr(row, "code", None) for row in read(content)]
    assert layout_of(content).notes == ()


def test_notes_under_an_empty_line_are_left_out_and_said_so() -> None:
    content = workbook([*TABLE, [], ["Source: the handbook"], [None, "and others"]])
    assert [row.line for row in rows_of(content)] == [2, 3]
    assert "From line 5 on" in layout_of(content).notes[0]
    assert "'Source: the handbook'" in layout_of(content).notes[0]


def test_a_last_row_without_answer_is_no_note() -> None:
    assert len(rows_of(workbook([*TABLE, ["no answer"]]))) == 3


def test_a_table_may_name_things_that_are_column_names() -> None:
    words = [["English", "German"], ["house", "Haus"], ["question", "answer"], ["tree", "Baum"]]
    for above in ([], [["Words of spring"]], [["Author", "Kim"], []]):
        assert [row.item["English"] for row in rows_of(workbook([*above, *words]))] == ["house", "question", "tree"]


@pytest.mark.parametrize("error", ["#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"])
def test_an_error_in_a_cell_makes_a_bad_row_that_names_the_cell(error: str) -> None:
    cell = Xml(f'<c @ t="e"><f>1/0</f><v>{error}</v></c>')
    found = list(read(workbook([HEADER, ["a", cell], ["b", "c"], [None, cell], ["d", "e"]])))
    assert [getattr(row, "code", None) for row in found] == ["cell_error", None, "cell_error", None]
    assert isinstance(found[0], Problem)
    assert (found[0].line, found[0].message) == (2, f"has the error {error} in B2")


FORMULA = Xml("<c @><f>1+1</f><v>2</v></c>")


@pytest.mark.parametrize(
    "written", ["<c @><f>1+1</f></c>", "<c @><f>1+1</f><v/></c>", '<c @><f t="shared" si="0"/></c>']
)
def test_a_formula_without_a_value_makes_a_bad_row_that_names_the_cell(written: str) -> None:
    (bad, good) = read(workbook([["x"], [None, *HEADER], [None, "a", Xml(written)], [None, "b", FORMULA]]))
    assert isinstance(bad, Problem)
    assert (bad.line, bad.code) == (3, "formula_not_calculated")
    assert "a formula in C3" in bad.message
    assert isinstance(good, RawRow)
    assert good.item == {"question": "b", "answer": 2}


def test_the_values_of_formulas_that_are_calculated_when_opened_are_not_read() -> None:
    found = list(read(workbook([HEADER, ["a", FORMULA], ["b", 2]], calculates_on_load=True)))
    assert [getattr(row, "code", None) for row in found] == ["formula_not_calculated", None]


def test_a_formula_may_give_an_empty_text() -> None:
    empty = Xml('<c @ t="str"><f>""</f><v></v></c>')
    assert rows_of(workbook([HEADER, ["a", empty]]))[0].item == {"question": "a", "answer": ""}


def test_faults_are_found_where_rows_and_cells_have_no_reference() -> None:
    error = '<c><v>1</v></c><c t="e"><v>#N/A</v></c>'
    found = list(read(workbook([HEADER, [Xml(f"{error}</row><row>{error}")]])))
    assert [getattr(row, "message", None) for row in found] == ["has the error #N/A in B2", "has the error #N/A in B3"]


STYLES = (
    '<numFmts><numFmt numFmtId="164" formatCode="0.0\\%"/><numFmt numFmtId="165" formatCode="0.00%;[Red]-0.00%"/>'
    '<numFmt numFmtId="166" formatCode="0&quot;%&quot;"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="9"/>'
    '<xf numFmtId="165"/><xf numFmtId="164"/><xf numFmtId="166"/></cellXfs>'
)


@pytest.mark.parametrize(
    ("style", "value", "read_as"),
    [
        (0, "0.5", 0.5),
        (1, "0.5", "50%"),
        (2, "0.07", "7%"),
        (1, "-0.125", "-12.5%"),
        (3, "5", 5),
        (4, "5", 5),
        (1, "0", "0%"),
    ],
)
def test_a_percentage_is_read_as_the_sheet_shows_it(style: int, value: str, read_as: object) -> None:
    content = workbook([HEADER, ["a", Xml(f'<c @ s="{style}"><v>{value}</v></c>')]], styles=STYLES)
    assert rows_of(content)[0].item["answer"] == read_as


@pytest.mark.parametrize(
    ("code", "value", "read_as"),
    [
        ("00000", "501", "00501"),
        ("00000", "123456", "123456"),
        ("00000", "-7", "-00007"),
        ("000", "7.5", 7.5),
        ("000\\-00\\-0000", "123456789", "123-45-6789"),
        ("00000-0000", "5010001", "00501-0001"),
        ("&quot;No. &quot;000", "7", "No. 007"),
        ("[$-409]000_);(000)", "7", "007"),
        ("[&lt;=999]000;0", "7", 7),
        ("0", "7", 7),
        ("0&quot; kg&quot;", "7", 7),
        ("000.00", "7", 7),
        ("#,##0", "7000", 7000),
        ("00000", "", ""),
    ],
)
def test_leading_zeros_of_a_number_format_are_read_as_shown(code: str, value: str, read_as: object) -> None:
    styles = f'<numFmts><numFmt numFmtId="164" formatCode="{code}"/></numFmts><cellXfs><xf numFmtId="164"/></cellXfs>'
    cell = Xml(f'<c @ s="0"><v>{value}</v></c>' if value else '<c @ s="0"/>')
    (row,) = rows_of(workbook([HEADER, ["a", cell]], styles=styles))
    assert (row.item["answer"], type(row.item["answer"])) == (read_as, type(read_as))


@pytest.mark.parametrize(
    ("code", "value", "read_as"),
    [
        ("[h]:mm:ss", "0.0625", "1:30:00"),
        ("[hh]:mm", "1.25", "30:00:00"),
        ("[mm]:ss", "0.0625", "1:30:00"),
        ("[h]:mm:ss", "-0.0625", "-1:30:00"),
        ("[h]:mm:ss.0", "0.0625057870370370", "1:30:00.5"),
        ("h:mm:ss", "0.0625", "01:30:00"),
    ],
)
def test_durations_are_read_as_hours_minutes_and_seconds(code: str, value: str, read_as: str) -> None:
    styles = f'<numFmts><numFmt numFmtId="164" formatCode="{code}"/></numFmts><cellXfs><xf numFmtId="164"/></cellXfs>'
    (row,) = rows_of(workbook([HEADER, ["a", Xml(f'<c @ s="0"><v>{value}</v></c>')]], styles=styles))
    assert row.item["answer"] == read_as


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        ("0.30000000000000004", 0.3),
        ("1234567890123456", 1234567890123456),
        ("-9007199254740991", -9007199254740991),
        ("6.02214076E+23", 602214076000000000000000),
        ("2.9999999999999996", 3),
        ("1.23456789012346E+19", 12345678901234600000),
        ("1E+20", 10**20),
        ("1.5", 1.5),
        ("1E+400", None),
    ],
)
def test_numbers_have_the_digits_that_a_sheet_shows(value: str, read_as: float | None) -> None:
    (found,) = read(workbook([HEADER, ["a", Xml(f"<c @><v>{value}</v></c>")]]))
    if isinstance(found, Problem):
        assert (found.code, read_as) == ("number_too_large", None)
    else:
        assert (found.item["answer"], type(found.item["answer"])) == (read_as, type(read_as))


@pytest.mark.parametrize(
    "value", ["1.2345678901234568E+19", "12345678901234567890", "-98765432109876543", "1234567890123456.5"]
)
def test_a_number_that_a_sheet_does_not_keep_whole_makes_a_bad_row(value: str) -> None:
    (found,) = read(workbook([HEADER, ["a", Xml(f"<c @><v>{value}</v></c>")]]))
    assert isinstance(found, Problem)
    assert found.code == "number_too_long"
    assert "write it as text" in found.message


RAISED = '<r><t>10</t></r><r><rPr><vertAlign val="{}"/></rPr><t>2</t></r>'


@pytest.mark.parametrize("place", ["subscript", "superscript"])
def test_a_text_whose_superscript_would_be_lost_makes_a_bad_row(place: str) -> None:
    texts = f"<si><t>b</t></si><si>{RAISED.format(place)}</si>"
    lines = [HEADER, ["a", Xml('<c @ t="s"><v>1</v></c>')], ["b", Xml('<c @ t="s"><v>0</v></c>')]]
    lines.append(["c", Xml(f'<c @ t="inlineStr"><is>{RAISED.format(place)}</is></c>')])
    codes = [getattr(row, "code", None) for row in read(workbook(lines, texts=texts))]
    assert codes == (["superscript", None, "superscript"] if place == "superscript" else [None] * 3)


def test_formulas_after_each_other_are_told_apart() -> None:
    empty, missing = Xml("<c @><f>1+1</f><v></v></c>"), Xml("<c @><f>1+1</f></c>")
    lines = [[*HEADER, "x"], ["a", empty, missing], [missing, "x", "y"], ["c", FORMULA, FORMULA]]
    assert [getattr(row, "message", "")[:22] for row in read(workbook(lines))] == [
        "has a formula in B2 th",
        "has a formula in A3 th",
        "",
    ]


def test_cells_merged_downwards_have_their_value_in_each_line() -> None:
    lines = [HEADER, ["a", 1], [None, 2], [None, None], [None, 3], ["b", 4], [None, 5]]
    content = workbook(lines, merged=["A2:A5"])
    assert [row.item["question"] for row in rows_of(content)] == ["a", "a", "a", "b", ""]
    assert layout_of(content).notes == ("Cells merged over several lines have their value in each of these lines.",)


def test_merged_cells_of_titles_and_header_and_cells_merged_sideways_are_not_filled() -> None:
    lines = [["Exam", None], [None, None], HEADER, ["a", 1], ["b", None], ["c", 3]]
    for merged in (["A1:B2"], ["A3:A5"], ["A5:B5"], ["B4:B4"]):
        content = workbook(lines, merged=merged)
        assert [tuple(row.item.values()) for row in rows_of(content)] == [("a", 1), ("b", ""), ("c", 3)]
        assert not any("merged" in note for note in layout_of(content).notes)


cells = st.one_of(st.none(), st.integers(-9, 9), st.sampled_from(["question", "answer", "Frage", "a b", " "]))


@given(st.lists(st.lists(st.lists(cells, max_size=4), max_size=5), min_size=1, max_size=3))
def test_every_line_below_the_header_is_a_row_a_problem_or_a_note(sheets: list[list[list[str | int | None]]]) -> None:
    content = workbook(*sheets)
    try:
        found = list(read(content))
    except AppError:
        with pytest.raises(AppError, match=r"names the column|no name for column"):
            list(read(content))
        return
    layout = layout_of(content)
    assert layout.sheet in layout.sheets
    lines = sheets[int((layout.sheet or "s0")[1:])]
    below = [cells for cells in lines[layout.header_row :] if any(cell not in (None, " ") for cell in cells)]
    assert len(found) == len(below) or (len(found) < len(below) and any("are notes" in note for note in layout.notes))


def layout_of(content: bytes, mapping: ColumnMapping | None = None) -> Layout:
    with open_table(io.BytesIO(content), filename="a.xlsx", mapping=mapping) as table:
        assert table.layout is not None
        return table.layout


def read(content: bytes, mapping: ColumnMapping | None = None) -> Iterator[RawRow | Problem]:
    with open_table(io.BytesIO(content), filename="a.xlsx", mapping=mapping) as table:
        assert isinstance(table, Table)
        yield from table.rows


def rows_of(content: bytes, mapping: ColumnMapping | None = None) -> list[RawRow]:
    return [row for row in read(content, mapping) if isinstance(row, RawRow)]
