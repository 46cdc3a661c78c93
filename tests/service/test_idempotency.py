"""Idempotency: a repeated POST with the same `Idempotency-Key` gets the stored response."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from starlette.datastructures import Headers

from backend import checks
from backend.api.http import idempotency
from backend.api.http.idempotency import _BodyHash
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.idempotency import Attempt, IdempotentRequest, begin, store_response
from backend.db.keys import ApiKey
from backend.settings import settings
from backend.stack.embedded import Services
from tests.service.conftest import EXACT, Api, answered, job_body, refused
from tests.service.test_api_stream import statements

ROW = b'{"question": "1?", "answer": "1"}\n'


def keyed(api: Api, path: str, body: object, *, key: str = "k-1", client: httpx.Client | None = None) -> httpx.Response:
    return (client or api.http).post(path, json=body, headers={"idempotency-key": key})


def test_a_job_is_made_once(api: Api) -> None:
    body = job_body(api.dataset())
    first, second = (keyed(api, "/v1/fine_tuning/jobs", body) for _ in range(2))
    assert answered(first) == answered(second)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(answered(api.http.get("/v1/fine_tuning/jobs"))["data"]) == 1


def test_another_body_is_refused(api: Api) -> None:
    answered(keyed(api, "/v1/verifiers", {"name": "a", "grader": EXACT}))
    error = refused(keyed(api, "/v1/verifiers", {"name": "b", "grader": EXACT}), status=422)
    assert error["code"] == "idempotency_key_reused"


def test_the_same_key_of_another_route_is_another_key(api: Api) -> None:
    answered(keyed(api, "/v1/verifiers", {"name": "a", "grader": EXACT}))
    answered(keyed(api, "/v1/fine_tuning/alpha/graders/validate", {"grader": EXACT}))


def test_a_refusal_of_the_request_is_answered_again(api: Api) -> None:
    first, second = (keyed(api, "/v1/verifiers", {"name": "a"}) for _ in range(2))
    assert refused(first, status=400) == refused(second, status=400)
    assert second.headers["idempotent-replayed"] == "true"


def test_what_a_stranger_sends_is_neither_kept_nor_looked_for(api: Api) -> None:
    with statements() as executed:
        for path in ("/v1/verifiers", "/v1/nothing", "/healthz"):
            assert keyed(api, path, {"name": "a", "grader": EXACT}, client=api.bare).status_code in (401, 405)
    assert not [statement for statement in executed if "idempotent_requests" in statement]


def test_a_key_that_was_revoked_is_answered_nothing_again(api: Api) -> None:
    body = {"name": "a", "grader": EXACT}
    answered(keyed(api, "/v1/verifiers", body))
    with transaction() as session:
        session.execute(update(ApiKey).values(revoked_at=utc_now()))
    refused(keyed(api, "/v1/verifiers", body), status=401, code="invalid_api_key")


def test_answers_given_again_count_as_requests(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLSD_REQUESTS_PER_MINUTE", "2")
    settings.cache_clear()
    try:
        responses = [keyed(api, "/v1/verifiers", {"name": "a", "grader": EXACT}) for _ in range(3)]
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert responses[1].headers["idempotent-replayed"] == "true"


def unfinished(*, leased_until: datetime) -> None:
    """Change the only request to the state that a process leaves if it dies before responding."""
    with transaction() as session:
        session.execute(
            update(IdempotentRequest).values(body_sha256=None, status=None, answer=None, leased_until=leased_until)
        )


def test_what_a_process_left_unfinished_is_done_when_it_is_sent_again_after_its_lease(api: Api) -> None:
    first = answered(keyed(api, "/v1/verifiers", {"name": "a", "grader": EXACT}))
    unfinished(leased_until=utc_now() + timedelta(minutes=1))
    refused(keyed(api, "/v1/verifiers", {"name": "a", "grader": EXACT}), status=409, code="idempotency_key_in_use")
    unfinished(leased_until=utc_now() - timedelta(seconds=1))
    done, again = (keyed(api, "/v1/verifiers", {"name": "b", "grader": EXACT}) for _ in range(2))
    assert answered(done)["id"] != first["id"]
    assert answered(again) == answered(done)
    assert again.headers["idempotent-replayed"] == "true"


def test_a_process_that_lost_the_lease_does_not_store_a_response(clean_database: Services) -> None:
    with transaction() as session:
        lost = begin(session, "request")
    unfinished(leased_until=utc_now() - timedelta(seconds=1))
    with transaction() as session:
        has_it = begin(session, "request")
    assert isinstance(lost, Attempt)
    assert isinstance(has_it, Attempt)
    for attempt, answer in ((has_it, "yes"), (lost, "no")):
        with transaction() as session:
            store_response(session, attempt, body_sha256="", status=200, answer=answer)
    with transaction() as session:
        assert session.scalars(select(IdempotentRequest.answer)).all() == ["yes"]


def test_a_request_that_takes_long_keeps_its_lease(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def leased_until() -> list[datetime]:
        with transaction() as session:
            return list(session.scalars(select(IdempotentRequest.leased_until)))

    monkeypatch.setattr(idempotency, "LEASE_RENEWAL_S", 0.05)
    monkeypatch.setattr(checks, "CHECK_QUEUE", "nobody-listens")
    monkeypatch.setenv("RLSD_CHECK_TIMEOUT_S", "5")
    settings.cache_clear()
    body = {"grader": EXACT, "model_sample": "x", "item": {"answer": "x"}}
    try:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(keyed, api, "/v1/fine_tuning/alpha/graders/run", body)
            leases: set[datetime] = set()
            while len(leases) < 3:
                assert not waiting.done()
                leases.update(leased_until())
                time.sleep(0.01)
            refused(waiting.result(), status=503, code="no_worker")
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert leased_until() == []


def test_a_refusal_before_the_body_was_read_is_given_again_for_the_same_body(api: Api) -> None:
    part = {"data": ("part", os.urandom(8 * 1024 * 1024))}
    for _ in range(2):
        response = api.http.post("/v1/uploads/none/parts", files=part, headers={"idempotency-key": "part"})
        refused(response, status=404)


def test_a_request_without_a_body_is_answered_again(api: Api) -> None:
    path = f"/v1/fine_tuning/jobs/{api.job()['id']}/cancel"
    first, second = (api.http.post(path, headers={"idempotency-key": "cancel"}) for _ in range(2))
    assert answered(first) == answered(second)
    assert second.headers["idempotent-replayed"] == "true"


def test_a_body_that_grows_too_large_is_refused_where_it_is_compared_too(api: Api) -> None:
    headers = {"idempotency-key": "k-1", "content-type": "application/json"}
    answered(keyed(api, "/v1/verifiers", {"name": "a", "grader": EXACT}))
    chunks = (b" " * 1024 * 1024 for _ in range(9))
    refused(api.http.post("/v1/verifiers", content=chunks, headers=headers), status=413, code="body_too_large")


def test_an_upload_is_stored_once_whatever_boundary_its_form_has(api: Api) -> None:
    def send(content: bytes) -> httpx.Response:
        return api.http.post(
            "/v1/files",
            data={"purpose": "fine-tune"},
            files={"file": ("rows.jsonl", content)},
            headers={"idempotency-key": "upload"},
        )

    assert answered(send(ROW)) == answered(send(ROW))
    assert len(answered(api.http.get("/v1/files"))["data"]) == 1
    refused(send(ROW + ROW.replace(b"1", b"2")), status=422, code="idempotency_key_reused")


def test_of_many_at_once_one_is_done(api: Api) -> None:
    body = {"name": "a", "grader": EXACT}
    start = threading.Barrier(8)

    def send(_: int) -> httpx.Response:
        start.wait()
        return keyed(api, "/v1/verifiers", body)

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(send, range(8)))
    assert {response.status_code for response in responses} <= {200, 409}
    assert len({response.json()["id"] for response in responses if response.status_code == 200}) == 1
    assert len(answered(api.http.get("/v1/verifiers"))["data"]) == 1


@pytest.mark.parametrize("unusable", ["", "x" * 256, "tab\there"], ids=["empty", "long", "tab"])
def test_an_unusable_key_is_refused(api: Api, unusable: str) -> None:
    refused(keyed(api, "/v1/verifiers", {"name": "a", "grader": EXACT}, key=unusable), status=400, code="invalid_value")


def test_secrets_are_not_kept_to_be_shown_again(api: Api) -> None:
    refused(keyed(api, "/v1/keys", {"name": "a"}), status=400)
    refused(keyed(api, "/v1/projects/proj-default/keys", {"name": "a"}), status=400)
    refused(keyed(api, "/v1/webhooks", {"url": "https://hooks.invalid"}), status=400)
    assert len(answered(api.http.get("/v1/keys"))["data"]) == 1
    assert answered(api.http.get("/v1/webhooks"))["data"] == []


def test_a_project_is_made_once(api: Api) -> None:
    first, second = (keyed(api, "/v1/projects", {"name": "once"}) for _ in range(2))
    assert answered(first) == answered(second)
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=BOUND", 'Multipart/Form-Data; BOUNDARY="BOUND"; charset=utf-8'],
    ids=["bare", "among others"],
)
@given(st.lists(st.sampled_from([b"BOUND", b"BO", b"UND", b"-", b"x", b"--BOUND--"]), max_size=30), st.data())
def test_the_boundary_counts_for_nothing_wherever_the_body_is_cut(
    content_type: str, parts: list[bytes], data: st.DataObject
) -> None:
    def digest(body: bytes, cuts: list[int]) -> str:
        hashed = _BodyHash(Headers({"content-type": content_type}))
        for first, last in zip([0, *cuts], [*cuts, len(body)], strict=True):
            hashed.update(body[first:last])
        return hashed.hexdigest()

    body = b"|".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    assert digest(body, cuts) == digest(body.replace(b"BOUND", b""), [])
