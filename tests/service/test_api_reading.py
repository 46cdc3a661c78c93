"""Reading of uploads in separate processes: progress, limits, and isolation of a failing reader."""

import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from backend.datasets.reading import background
from backend.datasets.reading.store import store_bytes
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.files import File, FileStatus
from backend.db.projects import DEFAULT_PROJECT
from backend.settings import settings
from tests.backend.datasets.formats.workbooks import workbook
from tests.processes import free_port, serving
from tests.service.conftest import Api, answered, job_body, refused
from tests.service.test_api_files import NOTHING, ROW, counts

ASYNC = {"prefer": "respond-async, wait=1"}
LONG_ROWS = 60_000


def jsonl(rows: int, *, padding: int = 10) -> bytes:
    return b"".join(
        json.dumps({"question": f"What is {n} + {n}?", "answer": str(2 * n), "padding": "x" * padding}).encode() + b"\n"
        for n in range(rows)
    )


@pytest.fixture(scope="module")
def long_file() -> bytes:
    """A file that takes some seconds to read."""
    return jsonl(LONG_ROWS)


def send(http: httpx.Client, content: bytes, *, headers: dict[str, str] | None = None, **form: str) -> httpx.Response:
    files = {"file": ("rows.jsonl", content)}
    return http.post("/v1/files", data={"purpose": "fine-tune"} | form, files=files, headers=headers or {})


def start_upload(http: httpx.Client, content: bytes) -> str:
    response = send(http, content, headers=ASYNC)
    assert (response.status_code, response.headers["preference-applied"]) == (202, "respond-async")
    file = response.json()
    assert (file["status"], file["rows"], file["bytes"]) == ("uploaded", 0, len(content))
    return str(file["id"])


def wait_until(condition: Callable[[], Any], *, timeout_s: float = 30) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def ended(http: httpx.Client, file_id: str) -> dict[str, Any]:
    """Wait until the file has been read, and return it."""

    def read_file() -> dict[str, Any] | None:
        file = answered(http.get(f"/v1/files/{file_id}"))
        return None if file["status"] == "uploaded" else file

    return wait_until(read_file, timeout_s=120)


def has_ended(process: psutil.Process) -> bool:
    """Return whether the process has ended, even if not yet reaped."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def fork_server(pid: int) -> psutil.Process:
    """Return the fork server of the process; a killed one stays a zombie until the next is needed."""
    alive = (p for p in psutil.Process(pid).children() if not has_ended(p))
    return next(p for p in alive if "forkserver" in " ".join(p.cmdline()))


def reader(pid: int) -> psutil.Process:
    """Wait for a reading child that uses CPU time, and return it."""
    at_work = wait_until(lambda: [p for p in fork_server(pid).children() if p.cpu_times().user > 0.1])
    return cast("psutil.Process", at_work[0])


@pytest.fixture(autouse=True)
def no_reader_left(api: Api) -> None:
    """Wait until no reader of an earlier test is left."""
    wait_until(lambda: not fork_server(os.getpid()).children())


def test_the_official_client_may_wait_for_a_file_to_be_read(api: Api) -> None:
    file = api.openai.files.create(
        file=("rows.jsonl", jsonl(200)), purpose="fine-tune", extra_headers={"Prefer": "respond-async"}
    )
    assert file.status == "uploaded"
    assert api.openai.files.wait_for_processing(file.id, poll_interval=0.05).status == "processed"
    assert answered(api.http.get(f"/v1/files/{file.id}/report"))["good"] == 200


def test_progress_is_reported_while_a_long_file_is_read(api: Api, long_file: bytes) -> None:
    file_id = start_upload(api.http, long_file)
    progress: list[dict[str, int]] = []
    while (file := answered(api.http.get(f"/v1/files/{file_id}")))["status"] == "uploaded":
        progress += [file["progress"]] if file["progress"] else []  # none before the reader has started
        time.sleep(0.1)
    assert (file["status"], file["rows"], file["progress"]) == ("processed", LONG_ROWS, None)
    assert {each["bytes_total"] for each in progress} == {len(long_file)}
    reached = [each["bytes_read"] for each in progress]
    assert reached == sorted(reached)
    assert any(0 < each["rows"] < LONG_ROWS for each in progress)


def test_a_file_that_is_not_read_yet_is_good_for_nothing_but_waiting(api: Api, long_file: bytes) -> None:
    file_id, other = start_upload(api.http, long_file), api.dataset()
    for path in ("report", "rows", "export", f"images/{'0' * 64}"):
        refused(api.http.get(f"/v1/files/{file_id}/{path}"), status=409, code="file_not_processed")
    refused(api.http.get(f"/v1/files/{other}/report?against={file_id}"), status=409, code="file_not_processed")
    refused(api.http.post(f"/v1/files/{file_id}/tokens", json={"model": "starter"}), status=409)
    refused(api.http.post("/v1/fine_tuning/jobs", json=job_body(file_id)), status=409, code="file_not_processed")
    body = job_body(other, validation_file=file_id)
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=409, code="file_not_processed")
    assert error["param"] == "validation_file"
    error = refused(api.http.delete(f"/v1/files/{file_id}"), status=409, code="file_not_processed")
    assert "still being read" in error["message"]
    assert api.http.get(f"/v1/files/{file_id}/content").content == long_file
    assert ended(api.http, file_id)["status"] == "processed"


def test_a_file_read_in_the_background_reports_why_it_failed(api: Api) -> None:
    file_id = start_upload(api.http, json.dumps(ROW).encode() + b"\n{oops\n")
    file = ended(api.http, file_id)
    assert (file["status"], file["rows"], file["progress"]) == ("error", 0, None)
    assert file["status_details"].startswith("rows.jsonl: line 2 is not JSON")
    error = refused(api.http.get(f"/v1/files/{file_id}/report"), status=409, code="file_not_processed")
    assert "line 2 is not JSON" in error["message"]
    assert api.openai.files.wait_for_processing(file_id, poll_interval=0.05).status == "error"
    answered(api.http.delete(f"/v1/files/{file_id}"))
    assert counts() == NOTHING


def test_a_reader_that_is_killed_is_a_refusal_and_the_next_file_is_read(api: Api, long_file: bytes) -> None:
    answers: list[httpx.Response] = []
    sending = threading.Thread(target=lambda: answers.append(send(api.http, long_file)))
    sending.start()
    reader(os.getpid()).kill()
    sending.join()
    error = refused(answers[0], status=400, code="unreadable_file")
    assert "SIGKILL" in error["message"]
    assert counts() == NOTHING
    answered(api.upload(ROW))


def test_the_server_of_readers_may_die_too(api: Api, long_file: bytes) -> None:
    file_id = start_upload(api.http, long_file)
    child = reader(os.getpid())
    child.suspend()  # otherwise it may finish before the server is killed
    fork_server(os.getpid()).kill()
    assert ended(api.http, file_id)["status"] == "error"
    wait_until(lambda: has_ended(child))
    answered(api.upload(ROW))


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RLSD_READER_MEMORY_BYTES", str(256 * 1024**2))
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def test_a_table_that_unpacks_to_more_than_the_memory_is_refused(api: Api, little_memory: None) -> None:
    bomb = io.BytesIO()
    pq.write_table(pa.table({"question": ["q" * 300_000_000], "answer": ["a"]}), bomb, compression="zstd")
    assert len(bomb.getvalue()) < 1_000_000
    files = {"file": ("rows.parquet", bomb.getvalue())}
    response = api.http.post("/v1/files", data={"purpose": "fine-tune"}, files=files)
    assert "RLSD_READER_MEMORY_BYTES" in refused(response, status=413, code="too_much_memory")["message"]
    assert counts() == NOTHING
    answered(api.upload(ROW))


def test_a_row_that_grows_in_memory_is_refused(api: Api, little_memory: None) -> None:
    bomb = io.BytesIO()
    digits = pa.array([[0] * 12_000_000], pa.list_(pa.int8()))
    pq.write_table(pa.table({"question": ["q"], "answer": ["a"], "x": digits}), bomb, compression="zstd")
    error = refused(api.upload_bytes(bomb.getvalue()), status=413, code="too_much_memory")
    assert "RLSD_READER_MEMORY_BYTES" in error["message"]
    assert counts() == NOTHING


def test_a_workbook_with_one_cell_far_out_takes_down_its_reader_alone(api: Api, little_memory: None) -> None:
    files = {"file": ("rows.xlsx", workbook([["question", "answer"], ["q", "a"]], far_out=True))}
    response = api.http.post("/v1/files", data={"purpose": "fine-tune"}, files=files)
    assert response.status_code in (400, 413)
    assert response.json()["error"]["code"] in ("unreadable_file", "too_much_memory", "too_many_cells")
    assert counts() == NOTHING
    near = {"file": ("rows.xlsx", workbook([["question", "answer"], ["q", 42]]))}
    stored = answered(api.http.post("/v1/files", data={"purpose": "fine-tune"}, files=near))
    (row,) = answered(api.http.get(f"/v1/files/{stored['id']}/rows"))["data"]
    assert (row["item"], row["reference"]["answer"]) == ({"question": "q", "answer": 42}, "42")


def test_a_short_file_does_not_wait_for_long_ones(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LARGE_BYTES", 5_000)
    for _ in range(background.CONCURRENT_READERS):
        background._readers[True].acquire()
    try:
        waiting = start_upload(api.http, jsonl(500))
        answered(api.upload(ROW))
        assert answered(api.http.get(f"/v1/files/{waiting}"))["status"] == "uploaded"
    finally:
        for _ in range(background.CONCURRENT_READERS):
            background._readers[True].release()
    assert ended(api.http, waiting)["rows"] == 500


def test_readers_of_a_crashed_api_end_and_their_files_report_it(
    api: Api, long_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = ("backend.cli.main", "api", "--port", str(port))
    with serving(*command, health=f"{url}/healthz", log=tmp_path / "api.log", may_exit=True) as owner:
        with httpx.Client(base_url=url, headers=api.http.headers, timeout=60) as http:
            file_id = start_upload(http, long_file)
        child = reader(owner.pid)
        owner.kill()
        wait_until(lambda: has_ended(child))
    with transaction() as session:
        background.give_up_lost(session)
    assert answered(api.http.get(f"/v1/files/{file_id}"))["status"] == "uploaded", "it may be another API's"
    monkeypatch.setattr(background, "LOST_S", 0.0)
    with transaction() as session:
        background.give_up_lost(session)
    file = answered(api.http.get(f"/v1/files/{file_id}"))
    assert (file["status"], file["status_details"]) == (
        "error",
        "The service stopped while reading the file: upload it again.",
    )
    answered(api.http.delete(f"/v1/files/{file_id}"))
    assert counts() == NOTHING


def test_what_could_not_be_read_is_deleted_after_a_day(api: Api) -> None:
    ids = []
    for status, age in ((FileStatus.ERROR, 25), (FileStatus.ERROR, 23), (FileStatus.PROCESSED, 1000)):
        with transaction() as session:
            file = store_bytes(session, io.BytesIO(b"one"), project=DEFAULT_PROJECT, filename="a", mapping=None)
            file.status, file.created_at = status, utc_now() - timedelta(hours=age)
            ids.append(file.id)
    with transaction() as session:
        background.give_up_lost(session)
    left = {file["id"] for file in answered(api.http.get("/v1/files"))["data"]}
    assert left == set(ids[1:])
    with transaction() as session:
        session.execute(update(File).values(created_at=utc_now() - timedelta(days=2)))
        background.give_up_lost(session)
    assert [file["id"] for file in answered(api.http.get("/v1/files"))["data"]] == ids[2:]


def test_of_too_many_files_at_once_some_are_sent_away_and_not_kept(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_pending", threading.BoundedSemaphore(1))
    with background._pending:
        refused(api.upload(ROW), status=503, code="busy")
    assert counts() == NOTHING
    answered(api.upload(ROW))
