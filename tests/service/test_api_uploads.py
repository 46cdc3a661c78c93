"""Uploads in parts: any order, parallel, atomic, and deleted on expiry."""

import hashlib
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from backend.api.files.upload_form import FORM_EXTRA_BYTES
from backend.datasets.reading import uploads
from backend.db.base import utc_now
from backend.db.blobs import Blob
from backend.db.engine import transaction
from backend.db.uploads import Upload, UploadChunk
from tests.service.conftest import Api, answered, refused, status_without_body

ROWS = b"".join(json.dumps({"question": f"{n} + {n}?", "answer": str(2 * n)}).encode() + b"\n" for n in range(400))
ANNOUNCED = {"filename": "rows.jsonl", "bytes": len(ROWS), "mime_type": "application/jsonl", "purpose": "fine-tune"}


def create_upload(api: Api, **changes: Any) -> str:
    return str(answered(api.http.post("/v1/uploads", json=ANNOUNCED | changes))["id"])


def send_part(api: Api, upload_id: str, data: bytes) -> httpx.Response:
    return api.http.post(f"/v1/uploads/{upload_id}/parts", files={"data": ("part", data)})


def complete_upload(api: Api, upload_id: str, part_ids: list[str], **more: Any) -> httpx.Response:
    return api.http.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": part_ids} | more)


def bytes_of_parts() -> int:
    with transaction() as session:
        return int(session.scalar(select(func.coalesce(func.sum(func.length(UploadChunk.data)), 0))) or 0)


def test_parallel_parts_form_the_file_in_the_requested_order(api: Api) -> None:
    upload_id = create_upload(api)
    pieces = [ROWS[start : start + 1000] for start in range(0, len(ROWS), 1000)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda piece: answered(send_part(api, upload_id, piece)), reversed(pieces)))
    assert all(part["object"] == "upload.part" and part["upload_id"] == upload_id for part in answers)
    part_ids = [part["id"] for part in reversed(answers)]
    upload = answered(complete_upload(api, upload_id, part_ids, md5=hashlib.md5(ROWS).hexdigest().upper()))
    assert (upload["status"], upload["file"]["status"], upload["file"]["rows"]) == ("completed", "processed", 400)
    assert api.http.get(f"/v1/files/{upload['file']['id']}/content").content == ROWS
    assert answered(api.http.get(f"/v1/uploads/{upload_id}")) == upload
    assert bytes_of_parts() == 0


def test_the_official_client_sends_a_file_in_parts(api: Api, tmp_path: Any) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(ROWS)
    upload = api.openai.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="fine-tune", part_size=5000, md5=hashlib.md5(ROWS).hexdigest()
    )
    assert (upload.status, upload.object, upload.filename, upload.bytes) == (
        "completed",
        "upload",
        "train.jsonl",
        len(ROWS),
    )
    assert upload.file is not None
    assert api.openai.files.content(upload.file.id).read() == ROWS
    begun = api.openai.uploads.create(filename="x.jsonl", bytes=3, mime_type="application/jsonl", purpose="fine-tune")
    assert (begun.status, begun.file, begun.expires_at - begun.created_at) == ("pending", None, 3600)
    part = api.openai.uploads.parts.create(begun.id, data=b"abc")
    assert (part.object, part.upload_id) == ("upload.part", begun.id)
    assert api.openai.uploads.cancel(begun.id).status == "cancelled"
    assert bytes_of_parts() == 0
    with pytest.raises(openai.ConflictError):
        api.openai.uploads.parts.create(begun.id, data=b"abc")
    with pytest.raises(openai.NotFoundError):
        api.openai.uploads.cancel("upload-none")


def test_mapping_and_bad_rows_are_set_when_the_upload_is_created(api: Api) -> None:
    content = b'{"frage": "1?", "antwort": "1"}\noops\n'
    upload_id = create_upload(
        api, bytes=len(content), mapping={"question": "frage", "answer": "antwort"}, on_bad_rows="take_good"
    )
    part = answered(send_part(api, upload_id, content))["id"]
    file = answered(complete_upload(api, upload_id, [part]))["file"]
    assert (file["rows"], file["shape"]) == (1, "mapping")
    error = refused(api.http.post("/v1/uploads", json=ANNOUNCED | {"mapping": {"question": "x"}}), status=400)
    assert error["param"] == "mapping.answer"


def test_the_answer_need_not_wait_for_the_rows(api: Api) -> None:
    upload_id = create_upload(api)
    part = answered(send_part(api, upload_id, ROWS))["id"]
    body = {"part_ids": [part]}
    answer = api.http.post(f"/v1/uploads/{upload_id}/complete", json=body, headers={"prefer": "respond-async"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
    assert answer.json()["status"] == "completed"
    assert api.openai.files.wait_for_processing(answer.json()["file"]["id"], poll_interval=0.1).status == "processed"


def test_a_file_that_cannot_be_read_leaves_the_parts_for_another_order(api: Api) -> None:
    upload_id = create_upload(api)
    middle = ROWS.index(b"\n", 5000) - 10
    first, second = (answered(send_part(api, upload_id, piece))["id"] for piece in (ROWS[:middle], ROWS[middle:]))
    refused(complete_upload(api, upload_id, [second, first]), status=400)
    assert answered(api.http.get("/v1/files"))["data"] == []
    assert answered(api.http.get(f"/v1/uploads/{upload_id}"))["status"] == "pending"
    assert answered(complete_upload(api, upload_id, [first, second]))["file"]["rows"] == 400


def test_what_is_not_as_announced_is_refused_and_can_be_mended(api: Api) -> None:
    upload_id, other = create_upload(api), create_upload(api)
    first, second = (answered(send_part(api, upload_id, piece))["id"] for piece in (ROWS[:100], ROWS[100:]))
    foreign = answered(send_part(api, other, ROWS))["id"]
    assert "100 bytes" in refused(complete_upload(api, upload_id, [first]), status=400, code="wrong_size")["message"]
    assert (
        refused(complete_upload(api, upload_id, [first, first]), status=400, code="invalid_part")["param"]
        == "part_ids.1"
    )
    assert refused(complete_upload(api, upload_id, [foreign]), status=400, code="invalid_part")["param"] == "part_ids.0"
    refused(complete_upload(api, upload_id, [first, second], md5="0" * 32), status=400, code="wrong_md5")
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0
    answered(complete_upload(api, upload_id, [first, second]))
    refused(complete_upload(api, upload_id, [first, second]), status=409, code="upload_not_pending")
    refused(api.http.post(f"/v1/uploads/{upload_id}/cancel"), status=409, code="upload_not_pending")


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"purpose": "batch"}, 400, "purpose"),
        ({"bytes": 0}, 400, "bytes"),
        ({"bytes": 2**49}, 413, "bytes"),
        ({"bytes": "12"}, 400, "bytes"),
        ({"filename": ""}, 400, "filename"),
        ({"expires_after": {"anchor": "created_at", "seconds": 3600}}, 400, "expires_after"),
        ({"on_bad_rows": "ignore"}, 400, "on_bad_rows"),
    ],
)
def test_an_announcement_that_cannot_be_kept_is_refused(
    api: Api, changes: dict[str, Any], status: int, param: str
) -> None:
    assert refused(api.http.post("/v1/uploads", json=ANNOUNCED | changes), status=status)["param"] == param


def test_a_part_that_cannot_be_one_is_refused(api: Api) -> None:
    upload_id = create_upload(api, bytes=10)
    path = f"/v1/uploads/{upload_id}/parts"
    refused(send_part(api, upload_id, b""), status=400, code="empty_part")
    refused(send_part(api, upload_id, b"x" * 11), status=400, code="too_many_parts")
    refused(api.http.post(path, data={"data": "text"}), status=400)
    refused(api.http.post(path, files={"other": b"x"}), status=400, code="unknown_parameter")
    refused(api.http.post(path, json={"data": "x"}), status=400)
    refused(send_part(api, "upload-none", b"x"), status=404)
    for _ in range(uploads.MAX_SENDS):
        answered(send_part(api, upload_id, b"x" * 10))
    refused(send_part(api, upload_id, b"x"), status=400, code="too_many_parts")
    too_long = str(uploads.MAX_PART_BYTES + FORM_EXTRA_BYTES + 1)
    headers = {"authorization": f"Bearer {api.key}", "content-length": too_long}
    assert status_without_body(api, path, headers=headers) == 413


def test_an_upload_whose_time_is_over_takes_nothing_and_its_bytes_are_deleted(api: Api) -> None:
    upload_id = create_upload(api)
    part = answered(send_part(api, upload_id, ROWS))["id"]
    with transaction() as session:
        session.execute(update(Upload).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert answered(api.http.get(f"/v1/uploads/{upload_id}"))["status"] == "expired"
    refused(send_part(api, upload_id, b"x"), status=409, code="upload_not_pending")
    refused(complete_upload(api, upload_id, [part]), status=409, code="upload_not_pending")
    with transaction() as session:
        uploads.forget_expired(session)
    assert bytes_of_parts() == 0
    assert answered(api.http.get(f"/v1/uploads/{upload_id}"))["status"] == "expired"
    with transaction() as session:
        session.execute(update(Upload).values(expires_at=utc_now() - uploads.KEPT - timedelta(seconds=1)))
        uploads.forget_expired(session)
    refused(api.http.get(f"/v1/uploads/{upload_id}"), status=404)


def test_what_is_announced_counts_as_stored(api: Api) -> None:
    allow = "/v1/projects/proj-default"
    answered(api.http.post(allow, json={"quotas": {"storage_bytes": 2 * len(ROWS) - 1}}))
    try:
        upload_id = create_upload(api)
        refused(api.http.post("/v1/uploads", json=ANNOUNCED), status=429, code="insufficient_quota")
        answered(api.http.post(f"/v1/uploads/{upload_id}/cancel"))
        create_upload(api)
    finally:
        answered(api.http.post(allow, json={"quotas": {}}))


@examples(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, len(ROWS) - 1), unique=True, max_size=12), data=st.data())
def test_any_cut_and_any_order_of_sending_give_the_same_file(api: Api, cuts: list[int], data: Any) -> None:
    places = [0, *sorted(cuts), len(ROWS)]
    pieces = [ROWS[start:end] for start, end in itertools.pairwise(places)]
    upload_id = create_upload(api)
    ids: dict[int, str] = {}
    for place in data.draw(st.permutations(range(len(pieces)))):
        ids[place] = answered(send_part(api, upload_id, pieces[place]))["id"]
    file = answered(complete_upload(api, upload_id, [ids[place] for place in range(len(pieces))]))["file"]
    assert api.http.get(f"/v1/files/{file['id']}/content").content == ROWS
