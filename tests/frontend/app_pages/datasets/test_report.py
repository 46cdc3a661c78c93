"""The dataset page before, while and after its rows are read: progress, errors, the report."""

import base64
import io
import json
import time
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from backend import checks
from backend.datasets.reading.store import store_bytes
from backend.db.engine import transaction
from backend.db.files import File, FileStatus
from backend.db.projects import DEFAULT_PROJECT
from frontend.api import ApiError, Client
from frontend.api.types import FileObject
from frontend.app_pages.datasets import page, report, upload
from tests.frontend.test_pages import opened, words


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "key" in request.fixturenames or "client" in request.fixturenames:
        monkeypatch.setenv("RLSD_API_URL", request.getfixturevalue("api_url"))


def jsonl(*rows: Any) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in rows)


def sent(client: Client, content: bytes, **options: Any) -> FileObject:
    return client.upload(io.BytesIO(content), filename="rows.jsonl", mapping=None, **options)


MANY = " ".join(f"word{n}" for n in range(60))
ODD = [
    {"question": "Who approves the new gasket of the pump?", "answer": "clerk"},
    {"question": "Who approves the new gasket of the pump?", "answer": "clerk"},
    {"question": MANY, "answer": "yes", "solution": "because"},
    {"question": f"{MANY} end", "answer": "no"},
    {"question": "caf\ufffd", "answer": "no"},
    b"{oops",
]


def part(app: AppTest, name: str) -> AppTest:
    app.segmented_control(key="report_part").set_value(name).run()
    assert not app.exception
    assert not app.error
    return app


def test_each_part_of_the_report_is_shown(client: Client, key: str) -> None:
    file = sent(client, jsonl(*ODD), leave_out_bad=True)
    app = opened("datasets", key=key, dataset=file["id"])
    assert not app.exception
    assert "Questions have" in words(app)
    assert len(app.get("vega_lite_chart")) == 3
    assert "5 short answers, 3 of them distinct" in words(part(app, "Answers"))
    assert "Languages of 5 questions, by ISO 639 code" in words(part(app, "Languages"))
    repeated = part(app, "Duplicates")
    equal, near = (table.value.iloc[0] for table in repeated.dataframe[:2])
    assert (equal["question"], equal["row"], equal["line"]) == (ODD[0]["question"], 0, 1)
    assert (equal["also rows"], equal["also lines"]) == ("1", "2")
    assert (near["row"], near["line"], near["like row"], near["like line"]) == (3, 4, 2, 3)
    figures = {metric.label: metric.value for metric in repeated.metric}
    assert figures["Duplicates of an earlier row"] == "1"
    assert figures["Near-duplicate questions"] == "1"
    assert list(part(app, "Warnings").dataframe[0].value["code"]) == ["replacement_character"]
    bad = part(app, "Bad rows")
    assert list(bad.dataframe[0].value["line"]) == [6]
    assert list(bad.dataframe[0].value["read"]) == ["{oops"]
    assert {"Download as CSV", "Download the rows"} <= {button.label for button in bad.get("download_button")}


def test_the_overlap_with_a_chosen_file_is_shown(client: Client, key: str) -> None:
    file = sent(client, jsonl(*ODD[:3]))
    app = part(opened("datasets", key=key, dataset=file["id"]), "Overlap")
    assert "no other dataset" in app.info[0].value
    other = sent(client, jsonl(ODD[2], {"question": "Why?", "answer": "so"}))
    app = part(opened("datasets", key=key, dataset=file["id"]), "Overlap")
    app.selectbox(key="overlap_with").set_value(other["id"]).run()
    assert not app.exception
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Rows in both datasets"] == "1"
    shared = app.dataframe[0].value.iloc[0]
    assert (shared["question"][:5], shared["row"], shared["their row"], shared["their line"]) == (MANY[:5], 2, 0, 1)


def test_tokens_are_counted_for_a_model_of_the_menu(client: Client, key: str, check_worker: int) -> None:
    file = sent(client, jsonl(*ODD[:5]))
    app = part(opened("datasets", key=key, dataset=file["id"]), "Tokens")
    assert "starter" in app.selectbox(key="tokens_model").options
    app.number_input(key="tokens_prompt").set_value(10).run()
    app.button(key="tokens_go").click().run()
    deadline = time.monotonic() + 60
    while "rows counted" not in words(app):
        assert not app.exception
        assert time.monotonic() < deadline
        time.sleep(0.3)
        app.run()
    assert "**starter**, 5 rows counted" in words(app)
    assert any("prompts are longer than 10 tokens" in warning.value for warning in app.warning)


def test_a_count_continues_after_a_refresh_which_shows_it_again(client: Client, key: str) -> None:
    file = sent(client, jsonl(*ODD[:5]))
    app = part(opened("datasets", key=key, dataset=file["id"]), "Tokens")
    app.number_input(key="tokens_prompt").set_value(10).run()
    app.button(key="tokens_go").click().run()
    refreshed = part(opened("datasets", key=key, dataset=file["id"]), "Tokens")
    assert refreshed.button(key="tokens_go").disabled
    [check] = client.checks(kind="token_lengths", file=file["id"])
    checks.give_up(check["id"], why="The process that worked on it was killed.")
    failed = opened("datasets", key=key, dataset=file["id"])
    failed.segmented_control(key="report_part").set_value("Tokens").run()
    assert "was killed" in failed.error[0].value
    assert not failed.button(key="tokens_go").disabled


def test_a_model_that_does_not_exist_is_refused_in_its_place(client: Client, key: str) -> None:
    file = sent(client, jsonl(*ODD[:3]))
    with pytest.raises(ApiError, match="neither a model of this server"):
        client.count_tokens(file["id"], model="nope", max_prompt_tokens=1, max_completion_tokens=1)


def test_images_of_a_row_are_shown(client: Client, key: str) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 0, 0)).save(picture, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    content = [{"type": "text", "text": "What colour?"}, {"type": "image_url", "image_url": {"url": url}}]
    file = sent(client, jsonl({"messages": [{"role": "user", "content": content}], "reference_answer": "red"}))
    (row,) = client.rows_from(file["id"], 0, limit=1)
    assert client.file_image(file["id"], row["images"][0]) == picture.getvalue()
    app = opened("datasets", key=key, dataset=file["id"])
    assert not app.exception
    assert len(app.get("image")) == 1
    assert "What colour?" in [text.value for text in app.text]


def test_a_file_being_read_shows_its_progress_and_a_failed_one_the_reason(client: Client, key: str) -> None:
    with transaction() as session:
        file = store_bytes(session, io.BytesIO(b"..."), project=DEFAULT_PROJECT, filename="long.jsonl", mapping=None)
        file.progress = {"bytes_read": 25_000_000, "bytes_total": 100_000_000, "rows": 1234, "at": time.time()}
        file_id = file.id
    app = opened("datasets", key=key, dataset=file_id)
    assert not app.exception
    assert "being read" in app.info[0].value
    (bar,) = app.get("progress")
    assert (bar.proto.value, bar.proto.text) == (25, "1,234 rows, 25.0 MB of 100.0 MB")
    assert "being read…" in words(opened("datasets", key=key))
    with transaction() as session:
        stored = session.get_one(File, file_id)
        stored.status, stored.status_details = FileStatus.ERROR, "line 3 is not JSON."
    app = opened("datasets", key=key, dataset=file_id)
    assert app.error[0].value == "line 3 is not JSON."
    app.button(key="delete_unread").click().run()
    assert not app.exception
    assert client.files()["data"] == []


def test_bad_rows_are_left_out_where_the_box_is_ticked(client: Client, key: str) -> None:
    app = opened("datasets", key=key)
    app.file_uploader(key="upload_file").set_value(("rows.jsonl", jsonl(*ODD), "application/jsonl")).run()
    app.button(key="upload_go").click().run()
    assert "line 6" in app.error[0].value
    app.checkbox(key="upload_leave_out").check().run()
    app.button(key="upload_go").click().run()
    assert not app.exception
    assert app.title[0].value == "rows.jsonl"
    (file,) = client.files()["data"]
    assert (file["rows"], client.file_report(file["id"])["bad"]) == (5, 1)


def test_a_long_upload_leads_to_its_page_at_once(client: Client, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "LONG_BYTES", 100)
    app = opened("datasets", key=key)
    content = jsonl(*ODD[:3])
    app.file_uploader(key="upload_file").set_value(("rows.jsonl", content, "application/jsonl")).run()
    app.button(key="upload_go").click().run()
    assert app.title[0].value == "rows.jsonl"
    deadline = time.monotonic() + 20
    while not app.segmented_control:
        assert time.monotonic() < deadline
        app.run()
    assert client.files()["data"][0]["rows"] == 3


def test_problems_as_csv_are_texts_to_a_spreadsheet() -> None:
    table = report.as_csv(
        [
            {"line": 3, "code": "a", "message": 'says "no", twice', "read": "=x"},
            {"line": None, "row": 7, "code": "b", "message": "=1+1"},
        ]
    )
    assert table.splitlines() == ["line,code,message,row as read", '3,a,"says ""no"", twice",\'=x', "7,b,'=1+1,"]


def test_rows_that_were_left_out_can_be_downloaded_as_json_lines() -> None:
    assert report.as_lines(['{"a": 1,\n "b"}', "{oops"]) == '{"a": 1,  "b"}\n{oops\n'


def test_a_column_that_is_hint_and_solution_is_named_once() -> None:
    columns = {"question": "q", "answer": "a", "solution": "worked out", "hint": "worked out", "first_choice": None}
    report: Any = {"columns": columns, "with_solution": 3}
    assert page.columns_read(report) == "Read: question from `q`, answer from `a`, solution from `worked out`."
    report["columns"] = columns | {"hint": "tip"}
    assert page.columns_read(report).endswith("solution from `worked out`, hint from `tip`.")
