"""One table in many variants: all formats, compressions and encodings give the same rows with their lines."""

import gzip
import io
import json
import zipfile
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.datasets.formats import json_lists
from backend.datasets.formats.json_lines import RawRow
from backend.datasets.formats.problems import Problem, Report
from backend.datasets.rows.images import ImageStore
from backend.datasets.rows.rows import normal_rows
from backend.datasets.rows.shape import ColumnMapping
from backend.datasets.rows.source import Format, open_table
from backend.errors import AppError

ITEMS = [{"question": "Größe?", "answer": "fünf"}, {"question": 'a "b",\nc', "answer": "2"}]
JSONL = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in ITEMS)
LIST = json.dumps(ITEMS, ensure_ascii=False, indent=1)
WRAPPED = json.dumps({"version": [1, {"data": 2}], "data": ITEMS, "more": {}}, ensure_ascii=False, indent=1)
CSV = 'question,answer\r\nGröße?,fünf\r\n"a ""b"",\nc",2\r\n'


def table(filename: str, content: bytes) -> tuple[Format, str | None, list[RawRow | Problem]]:
    with open_table(io.BytesIO(content), filename=filename) as found:
        return found.format, found.encoding, list(found.rows)


def items(filename: str, content: bytes) -> list[dict[str, Any]]:
    return [row.item for row in table(filename, content)[2] if isinstance(row, RawRow)]


def parquet(columns: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=1)
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def cut_at(delimiter: str) -> str:
    return CSV.replace("?,f", f"?{delimiter}f").replace("n,a", f"n{delimiter}a").replace('",2', f'"{delimiter}2')


PARQUET = parquet({name: [item[name] for item in ITEMS] for name in ("question", "answer")})
VARIANTS = {
    "JSON Lines": ("a.jsonl", JSONL.encode(), Format.JSONL),
    "JSON Lines named otherwise": ("a.csv", JSONL.encode(), Format.JSONL),
    "JSON Lines without a name": ("", JSONL.encode(), Format.JSONL),
    "a byte order mark": ("a.jsonl", b"\xef\xbb\xbf" + JSONL.encode(), Format.JSONL),
    "UTF-16": ("a.jsonl", JSONL.encode("utf-16"), Format.JSONL),
    "UTF-16 without a mark": ("a.jsonl", JSONL.encode("utf-16-be"), Format.JSONL),
    "UTF-32": ("a.jsonl", JSONL.encode("utf-32"), Format.JSONL),
    "a list": ("a.json", LIST.encode(), Format.JSON),
    "a list on one line, named otherwise": ("a.jsonl", json.dumps(ITEMS).encode(), Format.JSON),
    "a list in an object": ("a.json", WRAPPED.encode(), Format.JSON),
    "a list in an object on one line": ("a.json", json.dumps({"data": ITEMS}).encode(), Format.JSON),
    "a list in an object in UTF-16": ("a.json", WRAPPED.encode("utf-16"), Format.JSON),
    "a list in an object after a mark": ("a.json", b"\xef\xbb\xbf" + WRAPPED.encode(), Format.JSON),
    "CSV": ("a.csv", CSV.encode(), Format.CSV),
    "CSV named otherwise": ("a.jsonl", CSV.encode(), Format.CSV),
    "CSV after a mark": ("a.csv", b"\xef\xbb\xbf" + CSV.encode(), Format.CSV),
    "CSV in UTF-16": ("a.csv", CSV.encode("utf-16"), Format.CSV),
    "CSV in Latin-1": ("a.csv", CSV.encode("latin-1"), Format.CSV),
    "CSV with semicolons": ("a.csv", cut_at(";").encode(), Format.CSV),
    "TSV": ("a.tsv", cut_at("\t").encode(), Format.TSV),
    "Parquet": ("a.parquet", PARQUET, Format.PARQUET),
    "Parquet named otherwise": ("a.jsonl", PARQUET, Format.PARQUET),
    "gzip of JSON Lines": ("a.jsonl.gz", gzip.compress(JSONL.encode()), Format.JSONL),
    "gzip of CSV without a name": ("", gzip.compress(CSV.encode()), Format.CSV),
    "gzip of Parquet": ("a.parquet.gz", gzip.compress(PARQUET), Format.PARQUET),
    "ZIP of JSON Lines": ("a.zip", zipped(**{"d/t.jsonl": JSONL.encode(), "__MACOSX/._t.jsonl": b"x"}), Format.JSONL),
    "ZIP of Parquet": ("a", zipped(**{"t.parquet": PARQUET, "README.md": b"about"}), Format.PARQUET),
    "ZIP of gzip": ("a.zip", zipped(**{"t.csv.gz": gzip.compress(CSV.encode())}), Format.CSV),
}  # fmt: skip


@pytest.mark.parametrize(("filename", "content", "expected"), VARIANTS.values(), ids=VARIANTS)
def test_all_variants_give_the_same_rows(filename: str, content: bytes, expected: Format) -> None:
    found, _, rows = table(filename, content)
    assert found == expected
    assert [row.item for row in rows if isinstance(row, RawRow)] == ITEMS
    assert len(rows) == len(ITEMS)


def test_lines_are_those_on_which_rows_begin() -> None:
    lines = {name: [row.line for row in table(*variant[:2])[2]] for name, variant in VARIANTS.items()}
    assert lines["JSON Lines"] == lines["UTF-16"] == [1, 2]
    assert lines["a list"] == [2, 6]
    assert lines["a list in an object"] == [9, 13]
    assert lines["CSV"] == lines["CSV in UTF-16"] == lines["gzip of CSV without a name"] == [2, 3]
    assert lines["Parquet"] == [1, 2]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Größe?,fünf €"),
        ("cp1252", "ñandú,señor"),
        ("cp1251", "Сколько будет дважды два?,четыре"),
        ("cp1250", "zażółć gęślą jaźń,tak"),
    ],
)
def test_a_legacy_encoding_of_a_table_is_detected(encoding: str, text: str) -> None:
    content = f"question,answer\n{text}\n".encode(encoding)
    assert table("a.csv", content)[1] == encoding
    (item,) = items("a.csv", content)
    assert ",".join(item.values()) == text


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 5, 7, 64])
def test_a_list_is_split_the_same_wherever_its_bytes_are_cut(monkeypatch: pytest.MonkeyPatch, piece_bytes: int) -> None:
    monkeypatch.setattr(json_lists, "PIECE_BYTES", piece_bytes)
    tricky = [{"a": '\\"]}, [{'}, {"b": [[], {}, "\\\\"]}, {"c": {"d": "é"}}]
    content = b"\n [" + b" ,\n".join(json.dumps(item).encode() for item in tricky) + b"\n]\n"
    start = content.index(b"[") + 1
    found = list(json_lists.json_list(io.BytesIO(content), start=start))
    assert [(row.line, row.item) for row in found if isinstance(row, RawRow)] == list(
        zip((2, 3, 4), tricky, strict=True)
    )


def test_a_bad_element_is_reported_and_its_neighbours_are_read() -> None:
    _, _, rows = table("a.json", b'[{"a": 1},\n{"a": 1, "a": 2},\n{bad},\n5,\n{"a": 3}]')
    assert [(row.line, getattr(row, "code", None)) for row in rows] == [
        (1, None),
        (2, "duplicate_key"),
        (3, "invalid_json"),
        (4, "not_an_object"),
        (5, None),
    ]


def test_numbers_and_types_are_preserved() -> None:
    columns = {
        "i": pa.array([2**53 + 1], pa.int64()),
        "f": [0.1],
        "b": [True],
        "none": pa.nulls(1),
        "deep": [{"list": [1, None], "text": "1"}],
        "money": pa.array([Decimal("12.50")], pa.decimal128(10, 2)),
        "when": pa.array([0], pa.timestamp("s")),
        "raw": [b"\x00\xff"],
    }
    (item,) = items("a.parquet", parquet(columns))
    assert json.dumps(item) == json.dumps(
        {
            "i": 2**53 + 1,
            "f": 0.1,
            "b": True,
            "none": None,
            "deep": {"list": [1, None], "text": "1"},
            "money": "12.50",
            "when": "1970-01-01T00:00:00",
            "raw": "AP8=",
        }
    )
    assert items("a.json", b'[{"i": 9007199254740993, "f": 1.0}]') == [{"i": 2**53 + 1, "f": 1.0}]
    assert items("a.csv", b"i,f\n1,1.0\n") == [{"i": "1", "f": "1.0"}]


ARROW: dict[str, tuple[Any, pa.DataType, Any]] = {
    "a float of 32 bits": (0.1, pa.float32(), 0.1),
    "a whole float of 32 bits": (16777216.0, pa.float32(), 16777216.0),
    "the largest float of 32 bits": (3.4028234663852886e38, pa.float32(), 3.4028235e38),
    "the smallest float of 32 bits": (1.401298464324817e-45, pa.float32(), 1e-45),
    "a third in 32 bits": (1 / 3, pa.float32(), 0.33333334),
    "a negative float of 32 bits": (-2.7, pa.float32(), -2.7),
    "zero in 32 bits": (0.0, pa.float32(), 0.0),
    "a float of 64 bits": (0.1 + 0.2, pa.float64(), 0.1 + 0.2),
    "floats in a list": ([0.1, None, 2.5], pa.list_(pa.float32()), [0.1, None, 2.5]),
    "floats in a large list": ([0.1], pa.large_list(pa.float32()), [0.1]),
    "floats of a vector": ([0.1, 0.7], pa.list_(pa.float32(), 2), [0.1, 0.7]),
    "a float in an object": ({"x": {"y": 0.7}}, pa.struct({"x": pa.struct({"y": pa.float32()})}), {"x": {"y": 0.7}}),
    "floats of a map": ([("a", 0.3)], pa.map_(pa.string(), pa.float32()), [["a", 0.3]]),
    "a category": ("a", pa.dictionary(pa.int32(), pa.string()), "a"),
    "a decimal": (Decimal("3.10"), pa.decimal128(10, 2), "3.10"),
    "a large decimal": (Decimal("12345678901234567.89"), pa.decimal128(19, 2), "12345678901234567.89"),
    "a larger decimal": (Decimal(10**40), pa.decimal256(60, 0), 10**40),
    "a small decimal": (Decimal("0.00000001"), pa.decimal128(10, 8), "0.00000001"),
    "a whole decimal with a scale": (Decimal("5.00"), pa.decimal128(10, 2), "5.00"),
    "a decimal without a scale": (Decimal(5), pa.decimal128(10, 0), 5),
    "decimals in a list": ([Decimal("1.50")], pa.list_(pa.decimal128(5, 2)), ["1.50"]),
}


@pytest.mark.parametrize(("value", "kind", "read"), ARROW.values(), ids=ARROW)
def test_a_number_of_parquet_keeps_its_digits(value: Any, kind: pa.DataType, read: Any) -> None:
    (item,) = items("a.parquet", parquet({"x": pa.array([value], kind)}))
    assert json.dumps(item["x"]) == json.dumps(read)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


@pytest.mark.parametrize(
    ("value", "is_said"),
    [(b"abc", True), ([b"abc"], True), (PNG, False), ([PNG], False), ({"bytes": PNG, "path": "a"}, False)],
)
def test_bytes_of_parquet_that_are_no_image_are_said_to_be_base64(value: Any, is_said: bool) -> None:
    file = io.BytesIO(parquet({"question": ["q"], "answer": ["a"], "raw": [value]}))
    with open_table(file) as table, ImageStore() as image_store:
        assert table.columns_of_bytes == ("raw",)
        report = Report(counted_in=table.counted_in)
        list(normal_rows(table, mapping=None, report=report, image_store=image_store))
    assert report.notes == ["The bytes in 'raw' are read as base64: store texts as strings."] * is_said


def test_a_row_with_a_column_data_is_not_a_list_of_rows() -> None:
    row = {"question": "q", "data": [{"a": 1}], "answer": "a"}
    assert items("a.jsonl", json.dumps(row).encode()) == [row]
    assert items("a.jsonl", json.dumps({"data": [{"a": 1}]}).encode() + b"\n" + json.dumps(row).encode()) == [
        {"data": [{"a": 1}]},
        row,
    ]


TITLED = "Exam of spring\nby the office;2026\n\nQuestion;Answer\n{};b\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_titles_above_a_known_header_of_a_csv_are_passed_over_and_said_so(delimiter: str) -> None:
    content = TITLED.format("a").replace(";", delimiter).encode()
    with open_table(io.BytesIO(content), filename="exam.csv") as table:
        assert table.layout is not None
        assert (table.layout.header_row, len(table.layout.notes)) == (4, 1)
        assert [(row.line, row.item) for row in table.rows if isinstance(row, RawRow)] == [
            (5, {"Question": "a", "Answer": "b"})
        ]


@pytest.mark.parametrize(
    "content",
    [
        b"question,answer,,\na,b,,\n,,,\nc,d,,\n",
        b"question,answer\na,b,\n,\nc,d, \n",
        b"question;answer;\na;b;\nc;d;\n",
    ],
)
def test_empty_cells_beyond_the_header_and_lines_of_them_do_not_count(content: bytes) -> None:
    with open_table(io.BytesIO(content), filename="a.csv") as table:
        found = list(table.rows)
    assert [row.item for row in found if isinstance(row, RawRow)] == [
        {"question": "a", "answer": "b"},
        {"question": "c", "answer": "d"},
    ]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("written", "read_as"), [('="00123"', "00123"), ('"=""00123"""', "00123"), ('="A"', '="A"'), ("=1+1", "=1+1")]
)
def test_digits_that_are_kept_as_text_are_read_as_shown(written: str, read_as: str) -> None:
    with open_table(io.BytesIO(f"question,answer\na,{written}\n".encode()), filename="a.csv") as table:
        assert [row.item["answer"] for row in table.rows if isinstance(row, RawRow)] == [read_as]


def test_a_cell_beyond_the_header_is_a_bad_row() -> None:
    content = b"question,answer,\na,b,stray\n,,stray\n"
    with open_table(io.BytesIO(content), filename="a.csv") as table:
        assert [getattr(row, "code", None) for row in table.rows] == ["wrong_cell_count", "wrong_cell_count"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_an_encoding_that_was_guessed_is_said_so(encoding: str) -> None:
    content = "question,answer\nGröße?,5\n".encode(encoding)
    with open_table(io.BytesIO(content), filename="a.csv") as table:
        assert table.layout is not None
        said = [note for note in table.layout.notes if "is read as cp1252" in note]
        assert len(said) == (encoding == "cp1252")
        assert [row.item["question"] for row in table.rows if isinstance(row, RawRow)] == ["Größe?"]


@pytest.mark.parametrize("above", ["Exam, spring\n", "Author,Kim\nTerm,spring\n\n", "Exam\nof spring\n"])
def test_titles_may_have_as_many_cells_as_the_header(above: str) -> None:
    content = f"{above}question,answer\na,b\n".encode()
    with open_table(io.BytesIO(content), filename="exam.csv") as table:
        assert [row.item for row in table.rows if isinstance(row, RawRow)] == [{"question": "a", "answer": "b"}]


@pytest.mark.parametrize("above", ["", "Words\n", "Words of spring\n\n"])
def test_a_row_that_reads_like_column_names_is_no_header(above: str) -> None:
    content = f"{above}English,German\nhouse,Haus\nquestion,answer\ntree,Baum\n".encode()
    with open_table(io.BytesIO(content), filename="words.csv", mapping=None) as table:
        assert [row.item["English"] for row in table.rows if isinstance(row, RawRow)] == ["house", "question", "tree"]


@pytest.mark.parametrize("mark", ["\u2028", "\x0c", "\x85"])
def test_a_title_with_another_line_separator_is_one_line(mark: str) -> None:
    content = f"Exam{mark} of spring\nquestion,answer\na,b\n".encode()
    for mapping in (None, ColumnMapping(header_row=2)):
        with open_table(io.BytesIO(content), filename="exam.csv", mapping=mapping) as table:
            assert [row.item for row in table.rows if isinstance(row, RawRow)] == [{"question": "a", "answer": "b"}]


def test_the_header_line_of_a_csv_can_be_chosen() -> None:
    content = b"Exam\nFrage;Antwort\na;b\n"
    with open_table(io.BytesIO(content), filename="exam.csv", mapping=ColumnMapping(header_row=2)) as table:
        assert [row.item for row in table.rows if isinstance(row, RawRow)] == [{"Frage": "a", "Antwort": "b"}]


@pytest.mark.parametrize(
    ("content", "name", "chosen", "message"),
    [
        (b"q,a\n1,2\n", "a.csv", ColumnMapping(sheet="s"), "only Excel workbooks have sheets"),
        (b"q,a\n1,2\n", "a.csv", ColumnMapping(header_row=9), "has 2 lines"),
        (b'{"question": "q", "answer": "a"}\n', "a.jsonl", ColumnMapping(header_row=2), "JSONL are named in no line"),
    ],
)
def test_a_layout_that_a_file_does_not_have_is_refused(
    content: bytes, name: str, chosen: ColumnMapping, message: str
) -> None:
    with pytest.raises(AppError) as refused, open_table(io.BytesIO(content), filename=name, mapping=chosen) as table:
        list(table.rows)
    assert (refused.value.code, refused.value.param) == ("invalid_mapping", "mapping")
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("report.xls", b"<table><tr><th>question</th><th>answer</th></tr></table>", "HTML"),
        ("report.xls", b"\xef\xbb\xbf \r\n<!-- made\nby hand -->\n<HTML lang='en'><body><table></table>", "HTML"),
        ("report.csv", '<meta charset="utf-16"><table></table>'.encode("utf-16"), "HTML"),
        ("report.xls.gz", gzip.compress(b"<!DOCTYPE html><table></table>", mtime=0), "HTML"),
        ("report.xls", b'<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?><Workbook/>', "XML"),
    ],
)
def test_a_page_named_as_a_workbook_is_refused_by_what_it_is(name: str, content: bytes, kind: str) -> None:
    with pytest.raises(AppError) as refusal, open_table(io.BytesIO(content), filename=name):
        pass
    assert refusal.value.code == "other_format"
    assert refusal.value.message.startswith(f"The file is {kind}, ")
    assert "save it as an Excel workbook (.xlsx) or CSV" in refusal.value.message


@pytest.mark.parametrize("header", ["<question>,<answer>", "<tables>,answer"])
def test_a_header_in_angle_brackets_is_no_page(header: str) -> None:
    with open_table(io.BytesIO(f"{header}\na,b\n".encode()), filename="a.csv") as table:
        (row,) = table.rows
    assert list(row.item.values()) == ["a", "b"]


@pytest.mark.parametrize(
    "content", [zipped(**{"a.jsonl": JSONL.encode()}), b"PK is not enough of a ZIP"], ids=["archive", "no archive"]
)
def test_a_file_named_as_a_workbook_that_is_none_is_refused_for_that(content: bytes) -> None:
    with pytest.raises(AppError, match=r"named \.xlsx but is no Excel workbook"):
        table("x.xlsx", content)
