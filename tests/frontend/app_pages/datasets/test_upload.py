"""Adding a dataset: preview, column menus, pasted table, typed rows."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from frontend.api import Client
from frontend.app_pages.datasets import drafts, preview, upload
from tests.backend.datasets.formats.workbooks import workbook
from tests.frontend.test_pages import opened, words

CONTENT = b'{"a": 1}\nnot json\n[1]\n{"b": 2}\n'
ODD = b'{"asked": "Who approves a <b>valve</b>?", "right": "clerk", "by": "Ann"}\n' * 2


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "key" in request.fixturenames:
        monkeypatch.setenv("RLSD_API_URL", request.getfixturevalue("api_url"))


def chosen(key: str, content: bytes, *, name: str = "rows.jsonl") -> AppTest:
    app = opened("datasets", key=key)
    app.file_uploader(key="upload_file").set_value((name, content, "application/octet-stream")).run()
    assert not app.exception
    return app


def shown(app: AppTest) -> list[str]:
    return [element.proto.body for element in app.get("html") if 'class="terms"' in element.proto.body]


def menu(app: AppTest, label: str) -> Any:
    return next(box for box in app.selectbox if box.label == label)


def test_rows_are_shown_before_and_after_and_nothing_is_stored_yet(client: Client, key: str) -> None:
    csv = "question,answer\n" + "".join(f"What is {n} and {n}?,{2 * n}\n" for n in range(9))
    app = chosen(key, csv.encode(), name="sums.csv")
    assert "format of verifiers, GSM8K" in words(app)
    before, after = shown(app)[:2]
    assert "<dt>question</dt><dd>What is 0 and 0?</dd>" in before
    assert "<dt>Question</dt><dd>What is 0 and 0?</dd>" in after
    assert "<dt>Right answer</dt><dd>0</dd>" in after
    assert len(shown(app)) == 6
    assert client.files()["data"] == []
    app.button(key="upload_go").click().run()
    assert app.title[0].value == "sums.csv"
    assert client.files()["data"][0]["rows"] == 9


def test_columns_that_are_not_recognised_are_chosen_from_menus(client: Client, key: str) -> None:
    app = chosen(key, ODD)
    assert app.button(key="upload_go").disabled
    assert "Choose the columns below" in words(app)
    assert menu(app, "Question").options == ["asked", "right", "by"]
    menu(app, "Question").select("asked").run()
    menu(app, "Right answer").select("right").run()
    assert "<dt>Question</dt><dd>Who approves a &lt;b&gt;valve&lt;/b&gt;?</dd>" in shown(app)[1]
    menu(app, "Worked solution or hint").select("by").run()
    assert "<dt>Worked solution</dt><dd>Ann</dd>" in shown(app)[1]
    app.button(key="upload_go").click().run()
    assert not app.exception
    [file] = client.files()["data"]
    [row, _] = client.rows_from(file["id"], 0, limit=5)
    assert (row["reference"]["answer"], row["reference"]["solution"]) == ("clerk", "Ann")


def test_a_proposal_can_be_changed(client: Client, key: str) -> None:
    rows = b'{"question": "Q?", "answer": "wrong", "checked_answer": "right"}\n'
    app = chosen(key, rows)
    app.toggle[0].set_value(True).run()
    assert (menu(app, "Question").value, menu(app, "Right answer").value) == ("question", "answer")
    menu(app, "Right answer").select("checked_answer").run()
    app.button(key="upload_go").click().run()
    [file] = client.files()["data"]
    assert client.rows_from(file["id"], 0, limit=1)[0]["reference"]["answer"] == "right"


def test_a_text_that_the_questions_are_about_is_named_and_can_be_chosen(client: Client, key: str) -> None:
    app = chosen(key, b'{"question": "Who did?", "evidence": "Ann did.", "answer": "Ann"}\n')
    assert "'evidence' is not part of the questions" in words(app)
    app.toggle[0].set_value(True).run()
    menu(app, "Text that is asked about").select("evidence").run()
    assert "are part of the questions" in words(app)
    app.button(key="upload_go").click().run()
    [file] = client.files()["data"]
    assert client.rows_from(file["id"], 0, limit=1)[0]["messages"][0]["content"] == "Who did?\n\nAnn did."


def test_sheet_and_header_line_are_shown_and_can_be_chosen(client: Client, key: str) -> None:
    table = [["Exam"], [], ["question", "answer"], ["Who?", "clerk"], ["Why?", "law"]]
    app = chosen(key, workbook([["Welcome"]], table, [["question", "answer"], ["x", "y"]]), name="exam.xlsx")
    assert "found in the sheet 's1', with the column names in line 3" in words(app)
    line = next(field for field in app.number_input if field.label == "Line with the column names")
    assert (menu(app, "Sheet").value, line.value) == ("s1", 3)
    menu(app, "Sheet").select("s2").run()
    assert "<dt>question</dt><dd>x</dd>" in shown(app)[0]
    next(field for field in app.number_input if field.label == "Line with the column names").set_value(9).run()
    assert "is empty" in app.warning[0].value
    assert app.button(key="upload_go").disabled
    next(field for field in app.number_input if field.label == "Line with the column names").set_value(1).run()
    app.button(key="upload_go").click().run()
    assert not app.exception
    [file] = client.files()["data"]
    assert client.rows_from(file["id"], 0, limit=5)[0]["item"] == {"question": "x", "answer": "y"}


def test_a_conversation_in_a_cell_is_said_to_be_read_as_messages(client: Client, key: str) -> None:
    app = chosen(key, b"prompt,answer\n\"[{'role': 'user', 'content': 'Who?'}]\",clerk\n", name="chat.csv")
    assert "are read as messages" in words(app)
    assert "<dt>Question</dt><dd>Who?</dd>" in shown(app)[1]
    app.button(key="upload_go").click().run()
    assert "are read as messages" in words(app)


def test_a_bad_line_is_reported_before_the_upload(client: Client, key: str) -> None:
    app = chosen(key, b'{"question": "a?", "answer": "b"}\n{"question": \n')
    assert "1 of the first 2 rows cannot be used: line 2 is not JSON" in app.warning[0].value
    app.button(key="upload_go").click().run()
    assert "line 2" in app.error[0].value
    assert client.files()["data"] == []


def test_a_mapping_is_confirmed_and_a_bad_line_is_named_with_and_without_a_mapping(key: str) -> None:
    app = chosen(key, b"asked,right\nWho?,clerk\nAnd who?,warden,and more\n", name="own.csv")
    assert "line 3 has 3 cells" in app.warning[0].value
    assert "column names are not recognised" in words(app)
    menu(app, "Question").select("asked").run()
    menu(app, "Right answer").select("right").run()
    assert "line 3 has 3 cells" in app.warning[0].value
    assert "column names are not recognised" not in words(app)


def test_a_column_cannot_be_both_question_and_answer(key: str) -> None:
    app = chosen(key, b"asked\nWho?\n", name="own.csv")
    for label in ("Question", "Right answer"):
        menu(app, label).select("asked").run()
    assert "the same column" in app.warning[0].value
    assert app.button(key="upload_go").disabled


def test_a_file_that_is_not_a_table_is_reported(client: Client, key: str) -> None:
    app = chosen(key, b"\x89PNG\r\n\x1a\n and more")
    assert "PNG image" in app.error[0].value
    assert app.button(key="upload_go").disabled


def test_a_pasted_table_becomes_a_dataset(client: Client, key: str) -> None:
    app = opened("datasets", key=key)
    app.segmented_control(key="upload_source").set_value(upload.PASTE).run()
    app.text_area(key="upload_pasted").input('question\tanswer\nWho?\tclerk\nWhy, though?\t"so, there"\n').run()
    next(field for field in app.text_input if field.label == "Name of the dataset").input("mine").run()
    app.button(key="upload_go").click().run()
    assert not app.exception
    [file] = client.files()["data"]
    assert (file["filename"], file["rows"]) == ("mine.tsv", 2)
    assert client.rows_from(file["id"], 0, limit=5)[1]["item"] == {
        "question": "Why, though?",
        "answer": "so, there",
    }


def test_rows_can_be_typed(key: str) -> None:
    app = opened("datasets", key=key)
    app.segmented_control(key="upload_source").set_value(upload.WRITE).run()
    assert not app.exception
    assert "Click below the last line" in words(app)
    assert all(button.key != "upload_go" for button in app.button)


def test_rows_are_paged(client: Client, key: str) -> None:
    rows = b"".join(json.dumps({"question": f"q{n}?", "answer": str(n)}).encode() + b"\n" for n in range(120))
    file = client.upload(io.BytesIO(rows), filename="many.jsonl", mapping=None)
    app = opened("datasets", key=key, dataset=file["id"])
    table = app.dataframe[0].value
    assert (table["row"].iloc[0], len(table)) == (0, 50)
    app.button(key=f"rows_from_{file['id']}_next").click().run()
    app.button(key=f"rows_from_{file['id']}_next").click().run()
    assert not app.exception
    assert list(app.dataframe[0].value["answer"]) == [str(n) for n in range(100, 120)]
    assert "Rows 100 to 119 of 120" in words(app)
    assert app.button(key=f"rows_from_{file['id']}_next").disabled
    app.number_input(key="row_number").set_value(119).run()
    assert "119" in [code.value for code in app.code]


def test_rows_are_searched_and_paged_and_any_row_can_be_shown(client: Client, key: str) -> None:
    rows = b"".join(
        json.dumps({"question": f"q{n}, {'Valve' if n % 2 else 'gasket'}?", "answer": str(n)}).encode() + b"\n"
        for n in range(120)
    )
    file = client.upload(io.BytesIO(rows), filename="many.jsonl", mapping=None)
    app = opened("datasets", key=key, dataset=file["id"])
    app.text_input(key="text").set_value("valve").run()
    assert not app.exception
    assert list(app.dataframe[0].value["row"]) == list(range(1, 101, 2))
    app.button(key="page_further").click().run()
    assert not app.exception
    assert list(app.dataframe[0].value["row"]) == list(range(101, 121, 2))
    for number in ("103", "2"):  # of the table, and of none
        app.number_input(key="row_number").set_value(int(number)).run()
        assert number in [code.value for code in app.code]
    app.button(key="page_first").click().run()
    assert app.dataframe[0].value["row"].iloc[0] == 1
    app.text_input(key="text").set_value("no such thing").run()
    assert not app.dataframe
    assert any("No row contains this text" in info.value for info in app.info)
    assert "2" in [code.value for code in app.code]
    app.text_input(key="text").set_value("").run()
    assert "Rows 0 to 49 of 120" in words(app)


def test_the_line_that_an_error_names_is_shown_with_it() -> None:
    assert upload.named_line(CONTENT, "Not a JSON object in line 2: …") == (2, "not json")
    assert upload.named_line(CONTENT, "line 99 is broken") is None
    assert upload.named_line(CONTENT, "The file is too large.") is None


def test_a_long_file_is_previewed_by_whole_lines_and_a_packed_one_completely() -> None:
    lines = b'{"question": "x"}\n' * 100_000
    head = drafts.UploadDraft(lines, "a.jsonl", "1").head
    assert drafts.HEAD_BYTES <= len(head) < drafts.HEAD_BYTES + 1_000
    assert head.endswith(b"}\n")
    for content, name in ((b"PK" + lines, "a.zip"), (b" [" + lines, "a.txt"), (lines, "a.JSON")):
        assert drafts.UploadDraft(content, name, "1").head == content


def test_a_preview_keeps_the_row_at_the_limit_whole() -> None:
    long = b"x" * drafts.HEAD_BYTES
    header, rest = b"question,answer\n", b"Who?,clerk\n" * 9
    for cell in (long, b'"' + long + b'\nand ""more\n"""', b'"\n' + long + b'"'):
        row = cell + b",yes\n"
        assert drafts.UploadDraft(header + row + rest, "a.csv", "1").head == header + row


def test_a_table_with_one_long_cell_can_be_uploaded(client: Client, key: str) -> None:
    app = chosen(key, b"question,answer\n" + b"x" * (drafts.HEAD_BYTES + 10) + b",yes\n", name="long.csv")
    assert not app.button(key="upload_go").disabled
    app.button(key="upload_go").click().run()
    assert client.files()["data"][0]["rows"] == 1


def test_one_bad_row_without_columns_is_said_plainly(key: str) -> None:
    app = chosen(key, b"[1]\n{\n", name="bad.jsonl")
    assert app.button(key="upload_go").disabled
    assert "Choose the columns below" not in words(app)
    app = chosen(key, b"question,answer\nWho?\n", name="bad.csv")
    assert app.warning[0].value.startswith("The row cannot be used: line 2 has 1 cell, but the header has 2")


cells = st.dictionaries(st.sampled_from([*drafts.COLUMNS, "other"]), st.none() | st.text(max_size=5))


@given(st.lists(cells, max_size=4))
def test_typed_rows_become_lines_with_a_question_and_an_answer(rows: list[dict[str, Any]]) -> None:
    lines = [json.loads(line) for line in drafts.as_lines(rows).decode().split("\n") if line]
    written = [row for row in rows if any((row.get(name) or "").strip() for name in drafts.COLUMNS)]
    for line, row in zip(lines, written, strict=True):
        assert {"question", "answer"} <= set(line) <= set(drafts.COLUMNS)
        assert all(text == (row.get(name) or "").strip() for name, text in line.items())


def test_the_format_of_pasted_text_is_recognised() -> None:
    texts = {"a\tb\n1\t2": "tsv", "a,b\n1,2": "csv", "one": "csv", '{"a": 1}': "jsonl", ' [{"a": 1}]': "json"}
    assert {text: drafts.suffix_of(text) for text in texts} == texts


def test_a_row_is_described_with_the_labels_of_the_page() -> None:
    normal = {
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who?"}],
        "tools": [],
        "reference": {"answer": None, "solution": "because"},
        "hint": {"text": "think of clerks", "source": "teacher_prompt"},
    }
    assert preview.after_terms(normal) == {
        "Instructions": "Be short.",
        "Question": "Who?",
        "Right answer": "known only to the verifier",
        "Worked solution": "because",
        "Hint for the teacher": "think of clerks",
    }


def test_tools_and_calls_of_a_row_are_described_too() -> None:
    call = {"type": "function", "function": {"name": "balance", "arguments": {"account": 7}}}
    normal = {
        "messages": [
            {"role": "user", "content": "Balance of 7?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "120"},
        ],
        "tools": [{"type": "function", "function": {"name": "balance"}}],
        "reference": {"answer": "120", "solution": None},
        "hint": None,
    }
    assert preview.after_terms(normal) == {
        "Tools": "balance",
        "Question": "Balance of 7?",
        "Earlier answer": 'balance({"account": 7})',
        "Answer of a tool": "120",
        "Right answer": "120",
    }
