"""A POST that is sent again with its `Idempotency-Key` is answered again, not done again."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.api.idempotency import _BodyHash
from tests.service.conftest import EXACT, Api, answered, job_body, refused

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


def test_a_refusal_of_the_caller_is_not_kept(api: Api) -> None:
    body = {"name": "a", "grader": EXACT}
    for _ in range(2):
        response = keyed(api, "/v1/verifiers", body, client=api.bare)
        refused(response, status=401)
        assert "idempotent-replayed" not in response.headers


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


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"], ids=["empty", "long", "tab"])
def test_an_unusable_key_is_refused(api: Api, key: str) -> None:
    refused(keyed(api, "/v1/verifiers", {"name": "a", "grader": EXACT}, key=key), status=400, code="invalid_value")


def test_secrets_are_not_kept_to_be_shown_again(api: Api) -> None:
    refused(keyed(api, "/v1/keys", {"name": "a"}), status=400)
    assert len(answered(api.http.get("/v1/keys"))["data"]) == 1


@given(st.lists(st.sampled_from([b"BOUND", b"BO", b"UND", b"-", b"x", b"--BOUND--"]), max_size=30), st.data())
def test_the_boundary_counts_for_nothing_wherever_the_body_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    def digest(body: bytes, cuts: list[int]) -> str:
        hashed = _BodyHash("multipart/form-data; boundary=BOUND")
        for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            hashed.update(body[begin:end])
        return hashed.hexdigest()

    body = b"|".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    assert digest(body, cuts) == digest(body, [])
