"""Versions on the dataset page: rows edited, left out and split, the list of versions, differences."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from backend.db.engine import transaction
from backend.db.training import Rollout
from frontend.api import Client
from frontend.api.types import FileObject
from frontend.app_pages.datasets.filters import UnclearRowsError, numbers_in
from tests.frontend.api.test_api import new_job
from tests.frontend.test_pages import opened, words


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


@pytest.fixture
def file(client: Client, rows_file: Path) -> FileObject:
    with rows_file.open("rb") as content:
        return client.upload(content, filename="rows.jsonl", mapping=None)


def newest(client: Client) -> FileObject:
    found: FileObject = client.files()["data"][0]
    return found


def view(app: AppTest, file: FileObject, name: str) -> AppTest:
    return app.segmented_control(key=f"versions_view_{file['id']}").set_value(name).run()


def answered(job: str, scores: dict[int, float]) -> None:
    """Record one completion of each of these rows in the job's first step."""
    with transaction() as session:
        session.add_all(
            Rollout(
                job_id=job,
                step=1,
                number=row,
                row=row,
                sample=0,
                completion="x",
                record={"score": score, "status": "ok"},
                advantage=0.0,
                truncated=False,
                has_tokens=False,
            )
            for row, score in scores.items()
        )


def test_rows_are_edited_as_json_and_saved_together_as_a_new_version(
    client: Client, key: str, file: FileObject
) -> None:
    app = opened("datasets", key=key, dataset=file["id"])
    assert not app.exception
    app.toggle(key=f"row_as_json_{file['id']}_0").set_value(True).run()
    area = app.text_area(key=f"row_json_{file['id']}_0")
    item = json.loads(area.value)
    area.input("{").run()
    assert "not valid JSON" in app.warning[0].value
    assert app.button(key="row_keep").disabled
    app.text_area(key=f"row_json_{file['id']}_0").input(json.dumps(item | {"answer": "warden"})).run()
    app.button(key="row_keep").click().run()
    app.button(key="row_add").click().run()
    app.number_input(key="row_number").set_value(9).run()
    app.button(key="row_delete").click().run()
    assert "3 unsaved changes" in words(app)
    app.text_input(key="version_name").input("mine.jsonl").run()
    app.button(key="version_save").click().run()
    assert not app.exception
    made = newest(client)
    assert (made["filename"], made["rows"], made["parent_id"]) == ("mine.jsonl", 10, file["id"])
    assert app.title[0].value == "mine.jsonl"
    assert "1 row rewritten (0), 1 row deleted (9), 1 row added" in words(app)
    assert "unsaved change" not in words(app)
    rows = client.rows_from(made["id"], 0, limit=20)
    assert (rows[0]["item"]["answer"], rows[9]["item"]["answer"]) == ("warden", "warden")


def test_a_row_is_edited_by_the_columns_that_are_read(client: Client, key: str, file: FileObject) -> None:
    app = opened("datasets", key=key, dataset=file["id"])
    before = client.rows_from(file["id"], 0, limit=1)[0]["item"]
    question, answer = (app.text_area(key=f"row_{part}_{file['id']}_0") for part in ("question", "answer"))
    assert (question.value, answer.value) == (before["question"], before["answer"])
    answer.input("warden of all").run()
    app.button(key="row_keep").click().run()
    app.button(key="version_save").click().run()
    assert not app.exception
    after = client.rows_from(newest(client)["id"], 0, limit=1)[0]["item"]
    assert after == before | {"answer": "warden of all"}


def test_an_edit_that_makes_a_bad_row_is_reported_and_kept(client: Client, key: str, file: FileObject) -> None:
    app = opened("datasets", key=key, dataset=file["id"])
    app.toggle(key=f"row_as_json_{file['id']}_0").set_value(True).run()
    app.text_area(key=f"row_json_{file['id']}_0").input('{"question": "?"}').run()
    app.button(key="row_keep").click().run()
    app.button(key="version_save").click().run()
    assert "has no 'answer'" in app.error[0].value
    assert "1 unsaved change" in words(app)
    assert newest(client)["id"] == file["id"]
    app.button(key="row_undo").click().run()
    assert "unsaved change" not in words(app)


def test_rows_that_a_job_never_solved_are_left_out(client: Client, key: str, file: FileObject, rows_file: Path) -> None:
    job = new_job(client, rows_file)  # on another file with the same rows
    answered(job, {row: float(row > 2) for row in range(6)})
    app = view(opened("datasets", key=key, dataset=file["id"]), file, "Leave rows out")
    assert not app.exception
    assert app.button(key="filter_save").disabled
    app.button_group(key="filter_solved").set_value(["never solved"]).run()
    app.text_input(key="filter_rows").input("9, x").run()
    assert "“x” is not a row number" in app.warning[-1].value
    app.text_input(key="filter_rows").input("8-9").run()
    app.button(key="filter_save").click().run()
    assert not app.exception
    made = newest(client)
    assert (made["parent_id"], made["rows"]) == (file["id"], 5)
    assert f"3 rows left out (never solved in {job})" in words(app)
    app = view(app, made, "Row history")
    assert list(app.dataframe[-1].value[job])[:3] == [1.0, 1.0, 1.0]


def test_jobs_are_named_by_titles_and_equal_titles_are_distinguished(
    client: Client, key: str, file: FileObject, rows_file: Path
) -> None:
    first, second = new_job(client, rows_file), new_job(client, rows_file)  # both called first-1
    for job in (first, second):
        answered(job, {0: 1.0})
    app = view(opened("datasets", key=key, dataset=file["id"]), file, "Row history")
    shown = json.loads(app.dataframe[-1].proto.columns)
    assert {job: shown[job]["label"] for job in (first, second)} == {
        first: f"first-1 · {first[-6:]}",
        second: f"first-1 · {second[-6:]}",
    }
    app = view(app, file, "Leave rows out")
    labels = {f"first-1 (starter) · {job[-6:]}" for job in (first, second)}
    assert set(app.selectbox(key="filter_job").options) == labels


def test_a_dataset_is_split_and_both_parts_are_linked(client: Client, key: str, file: FileObject) -> None:
    app = view(opened("datasets", key=key, dataset=file["id"]), file, "Split")
    app.slider(key="split_share").set_value(30).run()
    app.selectbox(key="split_how").select("by a column").run()
    app.text_input(key="split_column").input("no such").run()
    app.button(key="split_go").click().run()
    assert "no row of 'rows.jsonl' has 'no such'" in app.error[0].value
    app.selectbox(key="split_how").select("by answer").run()
    app.button(key="split_go").click().run()
    assert not app.exception
    assert {member["filename"]: member["rows"] for member in client.file_versions(file["id"])} == {
        "rows.jsonl": 10,
        "rows.train.jsonl": 7,
        "rows.validation.jsonl": 3,
    }
    app.button(key="split_validation").click().run()
    assert app.title[0].value == "rows.validation.jsonl"


def test_versions_are_listed_with_their_differences_and_linked(client: Client, key: str, file: FileObject) -> None:
    edits = [{"op": "delete", "row": 1}, {"op": "replace", "row": 3, "item": {"question": "x?", "answer": "y"}}]
    made = client.create_version(file["id"], edits=edits, filters=[], filename=None)
    app = opened("datasets", key=key, dataset=made["id"])
    assert not app.exception
    assert {metric.label: metric.value for metric in app.metric}["Removed"] == "1"
    listed = app.dataframe[-1].value
    assert list(listed[""]) == ["− removed", "≠ changed"]
    assert list(listed["row before"]) == [1, 3]
    app.button(key="to_parent").click().run()
    assert app.title[0].value == "rows.jsonl"
    app.button(key=f"version_{made['id']}").click().run()
    assert app.title[0].value == "rows.v2.jsonl"


@pytest.mark.parametrize(
    ("written", "numbers"), [("3", [3]), ("3, 7;10-12", [3, 7, 10, 11, 12]), (" 0 - 1 ", [0, 1]), ("5-5", [5])]
)
def test_rows_are_named_by_numbers_and_ranges(written: str, numbers: list[int]) -> None:
    assert numbers_in(written) == numbers


@pytest.mark.parametrize("written", ["x", "1,,2", "-3", "5-3", "0-999999999999", "1.5", "١-٢-٣"])
def test_an_invalid_list_of_rows_is_reported(written: str) -> None:
    with pytest.raises(UnclearRowsError):
        numbers_in(written)
