"""Every route except health and docs requires a valid key."""

import re
from datetime import timedelta

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select, update

from backend.app import app
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.keys import ApiKey
from tests.service.conftest import Api, answered, refused, status_without_body

OPEN = {"/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}


def described_routes() -> list[tuple[str, str]]:
    """Return method and path of all documented routes, with ids filled in."""
    paths = app.openapi()["paths"]
    return [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, operations in paths.items()
        for method in operations
        if path not in OPEN
    ]


ROUTES = described_routes()


def test_the_list_of_routes_is_whole() -> None:
    assert len(ROUTES) >= 30
    assert all(path.startswith("/v1/") or path == "/metrics" for _, path in ROUTES)
    hidden = [route.path for route in app.routes if isinstance(route, APIRoute) and not route.include_in_schema]
    assert set(hidden) <= OPEN


@pytest.mark.parametrize(
    "wrong", [None, "", "rlsd-wrong", "é", "x" * 5000], ids=["none", "empty", "wrong", "accent", "long"]
)
def test_no_route_answers_without_a_valid_key(api: Api, wrong: str | None) -> None:
    headers = {} if wrong is None else {"authorization": (b"Bearer " + wrong.encode()).strip()}
    for method, path in ROUTES:
        body = {} if method != "POST" else {"json": VALID_BODIES.get(path, {})}
        error = refused(api.bare.request(method, path, headers=headers, **body), status=401)
        assert error["code"] == ("missing_api_key" if not wrong else "invalid_api_key"), path


VALID_BODIES = {
    "/v1/chat/completions": {"model": "starter", "messages": [{"role": "user", "content": "x"}]},
    "/v1/fine_tuning/jobs": {
        "model": "starter",
        "training_file": "file-x",
        "method": {"type": "reinforcement", "reinforcement": {"grader": {}}},
    },
    "/v1/fine_tuning/alpha/graders/validate": {"grader": {}},
    "/v1/fine_tuning/alpha/graders/run": {"grader": {}, "model_sample": ""},
    "/v1/verifiers": {"name": "x", "grader": {}},
    "/v1/verifiers/verifier_id/versions": {"grader": {}},
    "/v1/files/file_id/tokens": {"model": "starter"},
    "/v1/files/file_id/split": {"share": 0.5, "seed": 1},
    "/v1/fine_tuning/jobs/job_id/rescore": {"grader": {"type": "regex", "pattern": "x"}},
    "/v1/verifiers/check": {"grader": {}, "file": "file-x"},
    "/v1/uploads/upload_id/complete": {"part_ids": ["part-x"]},
    "/v1/verifiers/test": {"grader": {}, "samples": [{"output_text": ""}]},
}


@pytest.mark.parametrize("scheme", ["Basic", "bearer-ish", "Token"])
def test_another_scheme_is_no_key(api: Api, scheme: str) -> None:
    refused(api.bare.get("/v1/models", headers={"authorization": f"{scheme} {api.key}"}), status=401)


def test_the_scheme_is_known_in_any_case(api: Api) -> None:
    answered(api.bare.get("/v1/models", headers={"authorization": f"bearer {api.key}"}))


def test_a_revoked_key_is_refused_at_once(api: Api) -> None:
    answered(api.http.get("/v1/models"))
    with transaction() as session:
        session.execute(update(ApiKey).values(revoked_at=utc_now()))
    refused(api.http.get("/v1/models"), status=401, code="invalid_api_key")


def test_the_last_use_of_a_key_is_kept_to_the_minute(api: Api) -> None:
    def last_used() -> object:
        with transaction() as session:
            return session.scalars(select(ApiKey.last_used_at)).one()

    assert last_used() is None
    answered(api.http.get("/v1/models"))
    first = last_used()
    assert first is not None
    answered(api.http.get("/v1/models"))
    assert last_used() == first
    with transaction() as session:
        session.execute(update(ApiKey).values(last_used_at=utc_now() - timedelta(seconds=61)))
    answered(api.http.get("/v1/models"))
    assert last_used() != first


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/v1/files", "multipart/form-data; boundary=b"),
        ("/v1/verifiers", "application/json"),
        ("/v1/nothing", "application/json"),
    ],
)
def test_no_body_is_waited_for_before_the_caller_is_known(api: Api, path: str, content_type: str) -> None:
    headers = {"content-type": content_type, "content-length": "1000000"}
    assert status_without_body(api, path, headers=headers) == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_health_and_docs_are_open(api: Api, path: str) -> None:
    assert api.bare.get(path).status_code == 200


def test_the_documentation_fetches_nothing_from_elsewhere(api: Api) -> None:
    page = httpx.get(f"{api.url}/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    for source in sources:
        assert source.startswith("/")
        assert httpx.get(f"{api.url}{source}").status_code == 200
