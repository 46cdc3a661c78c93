"""Files over HTTP: atomic upload, streaming in both directions, complete deletion."""

import hashlib
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from sqlalchemy import func, select

from backend.datasets.formats import problems as report
from backend.db import search as searching
from backend.db.blobs import Blob, BlobChunk
from backend.db.engine import transaction
from backend.db.files import DatasetRow, File, FileImage
from backend.settings import settings
from tests.backend.datasets.formats.test_read import free_columns
from tests.service.conftest import Api, answered, refused

ROW = {"question": "Why?", "answer": "42"}


def counts() -> dict[str, int]:
    with transaction() as session:
        return {
            table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0
            for table in (File, DatasetRow, FileImage, Blob, BlobChunk)
        }


NOTHING = {"files": 0, "dataset_rows": 0, "file_images": 0, "blobs": 0, "blob_chunks": 0}


def test_a_file_is_returned_byte_for_byte(api: Api) -> None:
    content = b'\xef\xbb\xbf{"question": "Why?",  "answer": 42}\r\n\r\n'
    file = answered(api.upload_bytes(content))
    response = api.http.get(f"/v1/files/{file['id']}/content")
    assert response.content == content
    assert response.headers["content-length"] == str(len(content)) == str(file["bytes"])
    assert response.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    again = api.http.get(f"/v1/files/{file['id']}/content", headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_rows_are_listed_in_the_normal_form_with_a_report(api: Api) -> None:
    file = answered(api.upload({"question": "Why?", "answer": "6 * 7\n#### 42", "extra": {"deep": [1, None]}}))
    (row,) = answered(api.http.get(f"/v1/files/{file['id']}/rows"))["data"]
    assert row == {
        "id": "row-0",
        "row": 0,
        "line": 1,
        "messages": [{"role": "user", "content": "Why?"}],
        "tools": [],
        "images": [],
        "reference": {"answer": "42", "solution": "6 * 7", "trajectory": None, "accepted": []},
        "hint": {"text": "6 * 7", "source": "solution"},
        "item": {"question": "Why?", "answer": "6 * 7\n#### 42", "extra": {"deep": [1, None]}},
        "split": "train",
        "row_hash": row["row_hash"],
    }
    report = answered(api.http.get(f"/v1/files/{file['id']}/report"))
    assert (report["rows"], report["good"], report["bad"], report["problems"]) == (1, 1, 0, [])
    assert report["shape"] == file["shape"] == "question + answer"
    assert (file["rows"], report["with_answer"], report["with_solution"]) == (1, 1, 1)
    assert (report["with_trajectory"], report["with_privileged"]) == (0, 0)
    row = {"question": "Why?", "answer": "42", "trajectory": "6 * 7 is 42", "teacher_prompt": "It is 42."}
    report = answered(api.http.get(f"/v1/files/{answered(api.upload(row))['id']}/report"))
    assert (report["with_trajectory"], report["with_privileged"]) == (1, 1)


def test_a_bad_line_after_many_good_ones_leaves_no_row_and_no_byte(api: Api) -> None:
    padding = "x" * 2000
    rows = [{**ROW, "padding": padding} for _ in range(5000)]  # three chunks, well into the copying of rows
    error = refused(api.upload(*rows, {"question": "Why?"}), status=400, code="missing_answer")
    assert error["message"] == "rows.jsonl: line 5001 has no 'answer'."
    assert error["param"] == "file"
    assert counts() == NOTHING


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_is_refused(api: Api, content: bytes) -> None:
    refused(api.upload_bytes(content), status=400, code="empty_file")
    assert counts() == NOTHING


def test_an_upload_that_breaks_off_leaves_nothing(api: Api) -> None:
    head = b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
    head += b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    body = head + json.dumps(ROW).encode() + b"\n"  # without the closing boundary
    headers = {"content-type": "multipart/form-data; boundary=b"}
    refused(api.http.post("/v1/files", content=body, headers=headers), status=400)
    assert counts() == NOTHING


def test_a_mapping_selects_the_columns(api: Api) -> None:
    row = {"frage": "Warum?", "antwort": 42, "weg": "6 * 7"}
    assert "frage" in refused(api.upload(row), status=400, code="unknown_shape")["message"]
    mapping = json.dumps({"question": "frage", "answer": "antwort", "hint": "weg"})
    file = answered(api.upload(row, mapping=mapping))
    (stored,) = answered(api.http.get(f"/v1/files/{file['id']}/rows"))["data"]
    assert stored["hint"] == {"text": "6 * 7", "source": "weg"}
    assert stored["item"] == row


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "assistants"}, "purpose"),
        ({"purpose": "fine-tune", "expires_after[anchor]": "created_at"}, "expires_after[anchor]"),
        ({"purpose": ["fine-tune", "fine-tune"]}, "purpose"),
        ({"purpose": "fine-tune", "mapping": "{"}, "mapping"),
        ({"purpose": "fine-tune", "on_bad_rows": "ignore"}, "on_bad_rows"),
        ({"purpose": "fine-tune", "mapping": '{"question": "no", "answer": "answer"}'}, "mapping"),
    ],
)
def test_form_fields_that_cannot_be_honoured_are_refused_by_name(api: Api, form: dict[str, Any], param: str) -> None:
    files = {"file": ("rows.jsonl", json.dumps(ROW).encode())}
    assert refused(api.http.post("/v1/files", data=form, files=files), status=400)["param"] == param
    assert counts() == NOTHING


def test_a_form_without_a_file_is_refused(api: Api) -> None:
    files = {"purpose": (None, "fine-tune"), "file": (None, "text, not a file")}
    assert refused(api.http.post("/v1/files", files=files), status=400)["param"] == "file"
    assert refused(api.http.post("/v1/files", json={"purpose": "fine-tune"}), status=400)["param"] == "file"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\rows.jsonl", "rows.jsonl"),
        ("größe.jsonl", "größe.jsonl"),
        ("a" * 900, "a" * 255),
    ],
)
def test_file_names_are_kept_without_their_path(api: Api, sent: str, kept: str) -> None:
    files = {"file": (sent, json.dumps(ROW).encode())}
    file = answered(api.http.post("/v1/files", data={"purpose": "fine-tune"}, files=files))
    assert file["filename"] == kept
    assert api.http.get(f"/v1/files/{file['id']}/content").status_code == 200


def test_a_file_above_the_limit_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLSD_MAX_UPLOAD_BYTES", "1000")
    settings.cache_clear()
    try:
        slightly = api.upload({**ROW, "x": "x" * 1000})
        far = api.upload({**ROW, "x": "x" * 100_000})
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    refused(slightly, status=413, code="file_too_large")
    refused(far, status=413, code="body_too_large")


def test_a_deleted_file_is_gone_with_its_rows_but_equal_bytes_of_another_stay(api: Api) -> None:
    first, second = (answered(api.upload(ROW))["id"] for _ in range(2))
    answered(api.http.delete(f"/v1/files/{first}"))
    refused(api.http.get(f"/v1/files/{first}"), status=404)
    assert api.http.get(f"/v1/files/{second}/content").status_code == 200
    answered(api.http.delete(f"/v1/files/{second}"))
    assert counts() == NOTHING
    refused(api.http.delete(f"/v1/files/{second}"), status=404)


def test_the_data_of_a_job_cannot_be_deleted(api: Api) -> None:
    job = api.job()
    error = refused(api.http.delete(f"/v1/files/{job['training_file']}"), status=409, code="file_in_use")
    assert job["id"] in error["message"]


def test_lists_of_files_are_walked_in_both_orders_without_gap_or_repetition(api: Api) -> None:
    ids = [answered(api.upload(ROW))["id"] for _ in range(7)]
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        listed: list[str] = []
        more, after = True, {}
        while more:
            page = answered(api.http.get("/v1/files", params={"limit": 3, "order": order, **after}))
            assert (page["object"], page["first_id"]) == ("list", page["data"][0]["id"])
            listed += [file["id"] for file in page["data"]]
            more, after = page["has_more"], {"after": page["last_id"]}
        assert listed == expected
    assert answered(api.http.get("/v1/files", params={"purpose": "batch"}))["data"] == []


def test_rows_are_walked_by_their_ids(api: Api) -> None:
    file_id = api.dataset(count=25)
    first = answered(api.http.get(f"/v1/files/{file_id}/rows", params={"limit": 20}))
    rest = answered(api.http.get(f"/v1/files/{file_id}/rows", params={"limit": 20, "after": first["last_id"]}))
    assert [row["row"] for row in first["data"] + rest["data"]] == list(range(25))
    assert (first["has_more"], rest["has_more"]) == (True, False)
    error = refused(api.http.get(f"/v1/files/{file_id}/rows", params={"after": "file-1"}), status=400)
    assert error["param"] == "after"


def test_rows_are_had_by_their_numbers(api: Api) -> None:
    rows = f"/v1/files/{api.dataset(count=25)}/rows"
    found = answered(api.http.get(rows, params={"number": [20, 3, 99]}))
    assert [row["row"] for row in found["data"]] == [3, 20]
    for wrong in ("-1", "x", "99999999999"):
        assert refused(api.http.get(rows, params={"number": wrong}), status=400)["param"].startswith("number")


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("ANVIL", [0, 2]),
        ("née", [1]),
        ("50%", [1]),
        ("5_%", []),
        ("\\n", []),
        ('"so"', [0]),
        ("a\nb", [0]),
        ("twice", [1]),
        ("content", []),
        ("input_text", []),
        ("other column", []),
    ],
)
def test_rows_are_found_by_a_part_of_question_or_reference(api: Api, search: str, expected: list[int]) -> None:
    parts = [{"type": "input_text", "text": "Which"}, {"type": "input_text", "text": "Anvil?"}]
    file = answered(
        api.upload(
            {
                "messages": [{"role": "user", "content": 'a\nb "so" anvil'}],
                "reference_answer": "1",
                "x": "other column",
            },
            {"messages": [{"role": "user", "content": "Of 50% NÉE"}], "reference_answer": "1", "solution": "Twice"},
            {"messages": [{"role": "user", "content": parts}], "reference_answer": "none"},
        )
    )
    rows = f"/v1/files/{file['id']}/rows"
    found = answered(api.http.get(rows, params={"search": search, "limit": 1}))
    rows_found = found["data"]
    while found["has_more"]:
        found = answered(api.http.get(rows, params={"search": search, "limit": 1, "after": found["last_id"]}))
        rows_found += found["data"]
    assert [row["row"] for row in rows_found] == expected


def test_a_search_in_rows_that_means_nothing_or_takes_too_long_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = f"/v1/files/{api.dataset(count=3000)}/rows"
    for wrong in ("", "\0", "x" * 201):
        assert refused(api.http.get(rows, params={"search": wrong}), status=400)["param"] == "search"
    monkeypatch.setattr(searching, "SEARCH_S", 0.001)
    error = refused(api.http.get(rows, params={"search": "none such"}), status=400, code="search_too_wide")
    assert "select the rows by number" in error["message"]


@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=free_columns)
def test_any_row_comes_back_from_the_database_as_its_author_wrote_it(api: Api, columns: dict[str, Any]) -> None:
    item = {**columns, "question": "Why?", "answer": "42"}
    mapping = json.dumps({"question": "question", "answer": "answer"})
    file = answered(api.upload(item, mapping=mapping))
    (row,) = answered(api.http.get(f"/v1/files/{file['id']}/rows"))["data"]
    assert json.dumps(row["item"]) == json.dumps(item)  # including the order of keys and types of numbers
    exported = api.http.get(f"/v1/files/{file['id']}/export").content
    assert json.dumps(json.loads(exported)) == json.dumps(item)
    again = answered(api.upload_bytes(exported, mapping=mapping))
    assert api.http.get(f"/v1/files/{again['id']}/export").content == exported
    assert answered(api.http.get(f"/v1/files/{again['id']}/rows"))["data"][0]["row_hash"] == row["row_hash"]


def test_good_rows_are_stored_if_requested_and_can_be_exported(api: Api) -> None:
    content = json.dumps(ROW).encode() + b"\n{oops\n" + json.dumps({**ROW, "n": 1.0}).encode()
    refused(api.upload_bytes(content), status=400, code="invalid_json")
    form = {"purpose": "fine-tune", "on_bad_rows": "take_good"}
    file = answered(api.http.post("/v1/files", data=form, files={"file": ("rows.jsonl", content)}))
    assert file["rows"] == 2
    report = answered(api.http.get(f"/v1/files/{file['id']}/report"))
    assert (report["good"], report["bad"], report["problems"][0]["line"]) == (2, 1, 2)
    assert (report["format"], report["encoding"], report["lengths"]["unit"]) == ("jsonl", "utf-8", "characters")
    exported = api.http.get(f"/v1/files/{file['id']}/export")
    assert exported.headers["content-disposition"].endswith("rows.jsonl")
    assert [json.loads(line) for line in exported.text.splitlines()] == [ROW, {**ROW, "n": 1.0}]
    assert api.http.get(f"/v1/files/{file['id']}/content").content == content
    refused(api.http.get("/v1/files/file-none/export"), status=404)


def test_a_table_without_lines_counts_its_rows(api: Api) -> None:
    table = io.BytesIO()
    pq.write_table(pa.table({"question": ["q", None], "answer": [1, 2]}), table)
    error = refused(api.upload_bytes(table.getvalue()), status=400, code="missing_question")
    assert error["message"] == "rows.jsonl: row 2 has no 'question'."
    form = {"purpose": "fine-tune", "on_bad_rows": "take_good"}
    file = answered(api.http.post("/v1/files", data=form, files={"file": ("a.parquet", table.getvalue())}))
    (problem,) = answered(api.http.get(f"/v1/files/{file['id']}/report"))["problems"]
    assert (problem["row"], problem["line"]) == (2, None)
    (row,) = answered(api.http.get(f"/v1/files/{file['id']}/rows"))["data"]
    assert row["item"] == {"question": "q", "answer": 1}


def test_the_report_lists_rows_shared_by_two_files(api: Api) -> None:
    train = answered(api.upload(ROW, {"question": "How?", "answer": "1"}))["id"]
    held_out = answered(api.upload({"question": "How?", "answer": "2"}, ROW, {"question": "Who?", "answer": "3"}))["id"]
    report = answered(api.http.get(f"/v1/files/{held_out}/report", params={"against": train}))
    assert (report["overlap"]["rows"], report["overlap"]["questions"]) == (1, 2)
    assert answered(api.http.get(f"/v1/files/{held_out}/report"))["overlap"] is None
    refused(api.http.get(f"/v1/files/{held_out}/report", params={"against": "file-none"}), status=404)


@pytest.mark.parametrize(
    ("filename", "content", "read"),
    [
        ("a.jsonl", b'{"question": "Why?", "answer": 1}\n {oops\n', "{oops"),
        ("a.json", b'[{"question": "Why?", "answer": 1},\n{"question": "Who?", "answer": ""}]', None),
        ("a.csv", b"question,answer\nWhy?,1\nWho?,x,y\n", '{"question": "Who?", "answer": "x", "column 3": "y"}'),
        ("a.csv", b"question,answer\nWhy?,1\nWho?\n", '{"question": "Who?"}'),
        ("a.csv", b"question,answer\nWhy?,1\nWho?,\n", '{"question": "Who?", "answer": ""}'),
    ],
)
def test_a_row_that_is_left_out_is_kept_as_it_was_read(
    api: Api, filename: str, content: bytes, read: str | None
) -> None:
    form = {"purpose": "fine-tune", "on_bad_rows": "take_good"}
    file = answered(api.http.post("/v1/files", data=form, files={"file": (filename, content)}))
    [problem] = answered(api.http.get(f"/v1/files/{file['id']}/report"))["problems"]
    assert problem["read"] == (read or '{"question": "Who?", "answer": ""}')


def test_rows_left_out_are_kept_whole_or_not_at_all_within_a_bound(api: Api) -> None:
    longs = [b'{"question": "' + b"x" * size for size in (report.MAX_ROW_CHARACTERS, *[9_000] * 120)]
    content = b"\n".join([json.dumps(ROW).encode(), b"\xff", *longs])
    form = {"purpose": "fine-tune", "on_bad_rows": "take_good"}
    file = answered(api.http.post("/v1/files", data=form, files={"file": ("a.jsonl", content)}))
    problems = answered(api.http.get(f"/v1/files/{file['id']}/report"))["problems"]
    kept = [problem["read"] for problem in problems if problem["read"]]
    assert [problem["read"] for problem in problems[:2]] == [None, None]
    assert set(kept) == {longs[1].decode()}
    assert sum(map(len, kept)) <= report.MAX_KEPT_CHARACTERS < sum(map(len, kept)) + len(longs[1])


WRITTEN = b'prompt,answer\n"[{""role"": ""user"", ""content"": ""2 + 2?""}]",4\n'
TURNS = (
    b'{"conversations": [{"from": "system", "value": "Be brief"}, {"from": "human", "value": "2 + 2?"}], "answer": "4"}'
)


@pytest.mark.parametrize(("name", "content"), [("messages.csv", WRITTEN), ("sharegpt.jsonl", TURNS)])
def test_conversations_of_other_systems_are_read_as_messages_and_said_so(api: Api, name: str, content: bytes) -> None:
    file = answered(api.http.post("/v1/files", files={"file": (name, content)}, data={"purpose": "fine-tune"}))
    (row,) = answered(api.http.get(f"/v1/files/{file['id']}/rows"))["data"]
    assert row["messages"][-1] == {"role": "user", "content": "2 + 2?"}
    report = answered(api.http.get(f"/v1/files/{file['id']}/report"))
    assert len(report["notes"]) == 1
    assert "read as messages" in report["notes"][0]


def test_a_mapping_to_a_column_with_a_very_long_name_is_refused_in_one_sentence(api: Api) -> None:
    form = {"purpose": "fine-tune", "mapping": json.dumps({"question": "a." * 5000 + "b", "answer": "c"})}
    sent = api.http.post("/v1/files", files={"file": ("rows.jsonl", b'{"q": "a", "c": "d"}')}, data=form)
    error = refused(sent, status=400, code="invalid_mapping")
    assert len(error["message"]) < 300
