"""A uniform error body for all failures, and an id on every response."""

import pytest
from sqlalchemy import func, select

from backend import checks
from backend.db.base import Base
from backend.db.blobs import Blob
from backend.db.checks import Check
from backend.db.engine import transaction
from backend.db.files import File
from backend.db.jobs import Job
from backend.db.verifiers import Verifier
from backend.settings import settings
from tests.service.conftest import EXACT, Api, job_body, refused, status_without_body


def count(table: type[Base]) -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nothing", "/v1/files/", "/v1/files/a/b/c", "/V1/files", "/v1//files"]
)
def test_an_unknown_url_is_a_404_in_the_same_body(api: Api, path: str) -> None:
    assert path in refused(api.http.get(path), status=404, code="unknown_url")["message"]


def test_an_unsupported_method_is_a_405_that_lists_the_allowed_ones(api: Api) -> None:
    response = api.http.put("/v1/files")
    refused(response, status=405, code="method_not_allowed")
    assert response.headers["allow"]


@pytest.mark.parametrize("name", ["none", "ft:none/x", "ft:starter:rlsd::x:ckpt-step-1", "ft:%00"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_model_that_is_not_there_is_a_404_with_a_code_of_its_own(api: Api, method: str, name: str) -> None:
    refused(api.http.request(method, f"/v1/models/{name}"), status=404, code="model_not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/file-none",
        "/v1/files/file-none/content",
        "/v1/files/file-none/report",
        "/v1/files/file-none/rows",
        "/v1/verifiers/ver-none",
        "/v1/verifiers/ver-none/versions",
        "/v1/fine_tuning/jobs/ftjob-none",
        "/v1/fine_tuning/jobs/ftjob-none/events",
        "/v1/fine_tuning/jobs/ftjob-none/checkpoints",
        "/v1/fine_tuning/jobs/ftjob-none/metrics",
        "/v1/fine_tuning/jobs/ftjob-none/rollouts",
        "/v1/fine_tuning/jobs/ftjob-none/rollouts/rollout-1-1/tokens",
        "/v1/fine_tuning/jobs/ftjob-none/rows",
        "/v1/fine_tuning/jobs/ftjob-none/evaluations",
        "/v1/fine_tuning/jobs/ftjob-none/manifest",
        "/v1/fine_tuning/jobs/ftjob-none/adapter",
        "/v1/fine_tuning/jobs/ftjob-none/stream",
        "/v1/fine_tuning/jobs/%00/stream",
        "/v1/files/%00",
        "/v1/verifiers/%00",
    ],
)
def test_an_id_that_names_nothing_is_a_404(api: Api, path: str) -> None:
    refused(api.http.get(path), status=404, code="not_found")


@pytest.mark.parametrize("signal", ["cancel", "pause", "resume"])
def test_a_signal_for_no_job_is_a_404(api: Api, signal: str) -> None:
    refused(api.http.post(f"/v1/fine_tuning/jobs/ftjob-none/{signal}"), status=404, code="not_found")


JSON = {"content-type": "application/json"}
BAD_BODIES = {
    "cut short": (b'{"grader": ', JSON, "invalid_json"),
    "no JSON": (b"grader=x", JSON, "invalid_json"),
    "no UTF-8": (b'{"grader": "\xff"}', JSON, None),
    "a list": (b"[]", JSON, None),
    "null": (b"null", JSON, None),
    "not said to be JSON": (b'{"grader": {}}', {"content-type": "text/plain"}, None),
    "NaN": (b'{"grader": {"x": NaN}}', JSON, "invalid_value"),
    "Infinity": (b'{"grader": {"x": [1e999]}}', JSON, "invalid_value"),
    "NUL": (b'{"grader": {"x": "\\u0000"}}', JSON, "invalid_characters"),
    "NUL in JSON of another case": (
        b'{"grader": {"x": "\\u0000"}}',
        {"content-type": "Application/JSON"},
        "invalid_characters",
    ),
    "NUL in a key": (b'{"grader": {"\\u0000": 1}}', JSON, "invalid_characters"),
    "half a character": (b'{"grader": {"x": "\\ud800"}}', JSON, "invalid_characters"),
    "deep": (b'{"grader": {"x": ' + b"[" * 200 + b"]" * 200 + b"}}", JSON, "too_deep"),
    "deeper than the parser": (b"[" * 200_000, JSON, None),
    "a number of 10,000 digits": (b'{"grader": {"x": ' + b"9" * 10_000 + b"}}", JSON, None),
    "nothing": (b"", JSON, None),
    "a missing field": (b"{}", JSON, "missing_required_parameter"),
    "a field too many": (b'{"grader": {}, "extra": 1}', JSON, "unknown_parameter"),
    "a wrong type": (b'{"grader": "exact"}', JSON, "invalid_value"),
}


@pytest.mark.parametrize(("body", "headers", "code"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_a_400_with_the_reason(api: Api, body: bytes, headers: dict[str, str], code: str | None) -> None:
    path = "/v1/fine_tuning/alpha/graders/validate"
    refused(api.http.post(path, content=body, headers=headers), status=400, code=code)


@pytest.mark.parametrize("body", [b"x", b"[" * 200_000, b'"\xff"'], ids=["no JSON", "deep", "no UTF-8"])
def test_a_json_content_type_requires_json_even_if_no_body_is_needed(api: Api, body: bytes) -> None:
    path = f"/v1/fine_tuning/jobs/{api.job()['id']}/pause"
    refused(api.http.post(path, content=body, headers=JSON), status=400, code="invalid_json")


def test_the_parameter_is_named_by_its_dotted_path(api: Api) -> None:
    body = job_body("file-x")
    body["method"]["reinforcement"]["reward"] = 1
    error = refused(api.http.post("/v1/fine_tuning/jobs", json=body), status=400, code="unknown_parameter")
    assert error["param"] == "method.reinforcement.reward"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("order=up", "order"),
        ("after=file-none", "after"),
        ("after=%00", "after"),
    ],
)
def test_a_bad_query_names_its_parameter(api: Api, query: str, param: str) -> None:
    assert refused(api.http.get(f"/v1/files?{query}"), status=400)["param"] == param


def test_a_body_that_is_announced_too_large_is_refused_unread(api: Api) -> None:
    assert status_without_body(api, "/v1/verifiers", headers={**JSON, "content-length": str(2**40)}) == 413


def test_a_body_that_grows_too_large_is_refused_on_the_way(api: Api) -> None:
    chunks = (b" " * 1024 * 1024 for _ in range(9))
    refused(api.http.post("/v1/verifiers", content=chunks, headers=JSON), status=413, code="body_too_large")


def test_an_unexpected_failure_reveals_only_its_id(api: Api) -> None:
    job = api.job()
    with transaction() as session:
        session.get_one(Job, job["id"]).spec = {"secret": "sk-123"}  # not a valid job
    response = api.http.get(f"/v1/fine_tuning/jobs/{job['id']}")
    error = refused(response, status=500, code="internal_error")
    assert "sk-123" not in response.text
    assert "KeyError" not in response.text
    assert error["type"] == "server_error"


def test_what_is_refused_leaves_nothing_behind(api: Api) -> None:
    refused(api.upload({"question": "q", "answer": "a"}, {"question": "q"}), status=400)
    refused(api.http.post("/v1/verifiers", json={"name": "x", "grader": {"type": "regex", "pattern": "("}}), status=400)
    refused(api.http.post("/v1/fine_tuning/jobs", json=job_body("file-none")), status=400)
    assert [count(table) for table in (File, Blob, Verifier, Job)] == [0, 0, 0, 0]


def test_without_a_worker_a_check_is_a_503_with_retry_after(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECK_QUEUE", "nobody-listens")  # another test's worker may be running
    monkeypatch.setenv("RLSD_CHECK_TIMEOUT_S", "0.2")
    settings.cache_clear()
    try:
        body = {"grader": EXACT, "model_sample": "x", "item": {"answer": "x"}}
        response = api.http.post("/v1/fine_tuning/alpha/graders/run", json=body)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    refused(response, status=503, code="no_worker")
    assert int(response.headers["retry-after"]) > 0
    assert count(Check) == 1
