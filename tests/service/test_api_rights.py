"""Who may what: every route against every kind of caller; what belongs to another project does not exist."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text

from backend.api.policy import ADMIN_RESOURCES, ADMINISTRATOR_RESOURCES, resource_of
from backend.checks import request_check
from backend.db.base import utc_now
from backend.db.blobs import Blob
from backend.db.engine import transaction
from backend.db.keys import Role, create_key
from backend.db.projects import Project
from backend.db.training import Rollout
from tests.service.conftest import EXACT, Api, answered, job_body, refused
from tests.service.test_api_auth import ROUTES, VALID_BODIES

WAITS_FOR_A_WORKER = {
    "/v1/fine_tuning/alpha/graders/run",
    "/v1/verifiers/test",
    "/v1/verifiers/check",
    "/v1/fine_tuning/teacher-preview",
}


@dataclass(frozen=True, slots=True)
class Callers:
    """A key of each kind; `stranger` is the admin of another project."""

    viewer: httpx.Client
    editor: httpx.Client
    admin: httpx.Client
    stranger: httpx.Client
    expired: httpx.Client
    revoked: httpx.Client


@pytest.fixture
def callers(api: Api) -> Iterator[Callers]:
    with transaction() as session:
        session.add(Project(id="proj-other", name="other", created_at=utc_now(), quotas={}))
        session.flush()
        past = utc_now() - timedelta(seconds=1)
        made: dict[str, tuple[Any, str]] = {
            "viewer": create_key(session, name="viewer", role=Role.VIEWER),
            "editor": create_key(session, name="editor", role=Role.EDITOR),
            "admin": create_key(session, name="admin", role=Role.ADMIN),
            "stranger": create_key(session, name="stranger", role=Role.ADMIN, project="proj-other"),
            "expired": create_key(session, name="expired", expires_at=past),
            "revoked": create_key(session, name="revoked"),
        }
        made["revoked"][0].revoked_at = past
    clients = {
        name: httpx.Client(base_url=api.url, headers={"authorization": f"Bearer {secret}"}, timeout=60)
        for name, (_, secret) in made.items()
    }
    yield Callers(**clients)
    for client in clients.values():
        client.close()


@pytest.fixture
def objects(api: Api) -> dict[str, str]:
    """One of each kind, in the first project: by the parameter's name in paths."""
    job = api.job()
    verifier = answered(api.http.post("/v1/verifiers", json={"name": "v", "grader": EXACT}))
    with transaction() as session:
        check = request_check(session, kind="grader_run", request={}, file_id=job["training_file"]).id
        key, _ = create_key(session, name="of the first project")
    body = {"name": "c", "job": job_body(job["training_file"]), "arms": [{"name": "a"}, {"name": "b"}], "seeds": [0]}
    comparison = answered(api.http.post("/v1/comparisons", json=body))
    hook = answered(api.http.post("/v1/webhooks", json={"url": "https://example.org"}))
    announced = {"filename": "rows.jsonl", "bytes": 1, "mime_type": "application/jsonl", "purpose": "fine-tune"}
    upload = answered(api.http.post("/v1/uploads", json=announced))
    return {
        "file_id": job["training_file"],
        "upload_id": upload["id"],
        "job_id": job["id"],
        "verifier_id": verifier["id"],
        "check_id": check,
        "key_id": key.id,
        "comparison_id": comparison["id"],
        "webhook_id": hook["id"],
    }


def asked(client: httpx.Client, method: str, path: str) -> httpx.Response:
    """A request that is understood, so that only its caller can be the reason of a refusal."""
    body = {} if method != "POST" else {"json": VALID_BODIES.get(path, {})}
    return client.request(method, path, **body)


def kind_of(method: str, path: str) -> str:
    resource = resource_of(path)
    if resource in ADMINISTRATOR_RESOURCES:
        return "administrator"
    if resource in ADMIN_RESOURCES:
        return "admin"
    return "viewer" if method == "GET" or path == "/v1/chat/completions" else "editor"


def test_the_keys_that_are_no_longer_valid_open_nothing(callers: Callers) -> None:
    for method, path in ROUTES:
        for client in (callers.expired, callers.revoked):
            refused(asked(client, method, path), status=401, code="invalid_api_key")


def test_every_route_wants_the_role_that_it_needs(callers: Callers) -> None:
    """Ids in the paths are of nothing, so that a caller who may gets 404 or 400 where an object is needed."""
    for method, path in ROUTES:
        if path in WAITS_FOR_A_WORKER:
            continue
        needed = kind_of(method, path)
        for role in ("viewer", "editor", "admin"):
            response = asked(getattr(callers, role), method, path)
            allowed = role == "admin" or needed == "viewer" or (needed == "editor" and role == "editor")
            assert (response.status_code != 403) == allowed, f"{method} {path} for {role}: {response.text}"
            if not allowed:
                assert "role" in refused(response, status=403, code="permission_denied")["message"]


def test_administrators_are_the_admins_of_the_first_project_alone(callers: Callers) -> None:
    refused(callers.stranger.get("/v1/projects"), status=403, code="permission_denied")
    assert [project["name"] for project in answered(callers.admin.get("/v1/projects"))["data"]] == ["default", "other"]


def test_objects_of_another_project_do_not_exist(callers: Callers, objects: dict[str, str]) -> None:
    looked_at = 0
    for method, path in ROUTES:
        named = [name for name in objects if f"/{name}" in path]
        if not named or "stream" in path:
            continue
        looked_at += 1
        for name in named:
            path = path.replace(f"/{name}", f"/{objects[name]}")
        path = path.replace("/sha256", "/" + "0" * 64).replace("/difference", f"/difference?to={objects['file_id']}")
        if method == "POST" and path.count("/") > 3:
            response = callers.stranger.post(path, json=valid_body(method, path, objects))
        else:
            response = callers.stranger.request(method, path)
        assert response.status_code == 404, f"{method} {path}: {response.text}"
    assert looked_at >= 20
    for name, path in (("file_id", "files"), ("job_id", "fine_tuning/jobs"), ("verifier_id", "verifiers")):
        assert answered(callers.viewer.get(f"/v1/{path}/{objects[name]}"))["id"] == objects[name]


def valid_body(method: str, path: str, objects: dict[str, str]) -> dict[str, Any]:
    for template, body in VALID_BODIES.items():
        filled = template
        for name, value in objects.items():
            filled = filled.replace(f"/{name}", f"/{value}")
        if filled == path:
            return body
    return {}


def test_bytes_that_two_projects_hold_stay_for_the_other(callers: Callers) -> None:
    form = {"data": {"purpose": "fine-tune"}, "files": {"file": ("rows.jsonl", b'{"question": "1?", "answer": "1"}\n')}}
    ours, theirs = (answered(client.post("/v1/files", **form))["id"] for client in (callers.editor, callers.stranger))
    answered(callers.editor.delete(f"/v1/files/{ours}"))
    assert callers.stranger.get(f"/v1/files/{theirs}/content").status_code == 200
    answered(callers.stranger.delete(f"/v1/files/{theirs}"))
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0


def test_lists_show_the_own_project_alone(callers: Callers, objects: dict[str, str]) -> None:
    for path in ("files", "fine_tuning/jobs", "verifiers", "checks", "comparisons"):
        assert answered(callers.stranger.get(f"/v1/{path}"))["data"] == [], path
        assert len(answered(callers.viewer.get(f"/v1/{path}"))["data"]) >= 1, path
    assert len(answered(callers.stranger.get("/v1/keys"))["data"]) == 1


def test_the_history_of_equal_rows_stays_in_its_project(callers: Callers, objects: dict[str, str], api: Api) -> None:
    with transaction() as session:
        session.add(
            Rollout(
                job_id=objects["job_id"],
                step=1,
                number=0,
                row=0,
                sample=0,
                completion="0",
                record={"score": 1.0, "status": "ok"},
                advantage=0.0,
                truncated=False,
                has_tokens=False,
            )
        )
    content = callers.viewer.get(f"/v1/files/{objects['file_id']}/content").content
    form = {"data": {"purpose": "fine-tune"}, "files": {"file": ("rows.jsonl", content)}}
    copy = answered(callers.stranger.post("/v1/files", **form))["id"]
    seen = answered(callers.viewer.get(f"/v1/files/{objects['file_id']}/history"))["data"]
    assert [job["job"] for job in seen[0]["jobs"]] == [objects["job_id"]]
    assert all(not row["jobs"] for row in answered(callers.stranger.get(f"/v1/files/{copy}/history"))["data"])


def test_versions_belong_to_the_project_and_are_in_its_log(callers: Callers, objects: dict[str, str]) -> None:
    made = answered(callers.editor.post(f"/v1/files/{objects['file_id']}/split", json={"share": 0.5, "seed": 1}))
    refused(callers.stranger.get(f"/v1/files/{made['train']['id']}"), status=404)
    entry = answered(callers.admin.get("/v1/audit"))["data"][0]
    assert entry["action"] == "POST /v1/files/{file_id}/split"
    assert {made["train"]["id"], made["validation"]["id"], objects["file_id"]} == set(entry["objects"])


def test_a_job_cannot_be_made_from_what_belongs_to_another_project(callers: Callers, objects: dict[str, str]) -> None:
    body = job_body(objects["file_id"])
    refused(callers.stranger.post("/v1/fine_tuning/jobs", json=body), status=400, code="file_not_found")
    own = answered(
        callers.stranger.post(
            "/v1/files",
            data={"purpose": "fine-tune"},
            files={"file": ("rows.jsonl", b'{"question": "1?", "answer": "1"}\n')},
        )
    )["id"]
    saved = job_body(own)
    saved["method"]["reinforcement"]["grader"] = {"type": "saved", "id": objects["verifier_id"]}
    refused(callers.stranger.post("/v1/fine_tuning/jobs", json=saved), status=400, code="verifier_not_found")
    refused(callers.stranger.get(f"/v1/files/{own}/report", params={"against": objects["file_id"]}), status=404)


def test_the_audit_log_says_who_did_what_to_what(api: Api) -> None:
    file = api.dataset(2)
    answered(api.http.get(f"/v1/files/{file}"))
    answered(api.http.delete(f"/v1/files/{file}"))
    refused(api.http.delete(f"/v1/files/{file}"), status=404)
    entries = answered(api.http.get("/v1/audit"))["data"]
    assert [(entry["action"], file in entry["objects"]) for entry in entries] == [
        ("DELETE /v1/files/{file_id}", True),
        ("POST /v1/files", True),
    ]
    assert all(entry["actor_name"] == "test" and entry["address"] == "127.0.0.1" for entry in entries)
    assert all(entry["request_id"].startswith("req-") for entry in entries)


def test_the_audit_log_tells_whom_a_trusted_proxy_speaks_for(api: Api) -> None:
    body = {"name": "v", "grader": EXACT}
    answered(api.http.post("/v1/verifiers", json=body, headers={"x-forwarded-for": "10.0.0.9, 203.0.113.7"}))
    assert answered(api.http.get("/v1/audit"))["data"][0]["address"] == "203.0.113.7"


def test_a_change_is_in_the_audit_log_or_does_not_happen(api: Api) -> None:
    """Where its entry cannot be written, neither a file nor a version of one is kept."""
    file = api.dataset()
    announced = {"filename": "rows.jsonl", "bytes": 2, "mime_type": "application/jsonl", "purpose": "fine-tune"}
    upload = f"/v1/uploads/{answered(api.http.post('/v1/uploads', json=announced))['id']}"
    part = answered(api.http.post(f"{upload}/parts", files={"data": b"{}"}))["id"]
    with transaction() as session:
        session.execute(text("ALTER TABLE audit_entries ADD CONSTRAINT full_up CHECK (false) NOT VALID"))
    try:
        refused(api.upload({"question": "1 + 1?", "answer": "2"}), status=409)
        refused(api.http.post(f"{upload}/complete", json={"part_ids": [part]}), status=409)
        assert api.http.post(f"/v1/files/{file}/split", json={"share": 0.5}).is_error
    finally:
        with transaction() as session:
            session.execute(text("ALTER TABLE audit_entries DROP CONSTRAINT full_up"))
    assert [kept["id"] for kept in answered(api.http.get("/v1/files"))["data"]] == [file]
    assert answered(api.http.get(upload))["status"] == "pending"


def test_the_audit_log_is_searched_by_who_what_which_and_when(api: Api) -> None:
    file = api.dataset(2)
    answered(api.http.delete(f"/v1/files/{file}"))
    newest = answered(api.http.get("/v1/audit"))["data"][0]

    def found(**wanted: str | int) -> list[str]:
        return [entry["action"] for entry in answered(api.http.get("/v1/audit", params=wanted))["data"]]

    both = ["DELETE /v1/files/{file_id}", "POST /v1/files"]
    assert found(actor="TES") == found(about=file) == found(since=newest["created_at"] - 600) == both
    assert found(actor=newest["actor"], action="delete /v1") == both[:1]
    assert found(actor="t_st") == found(about="file-none") == found(since=newest["created_at"] + 600) == []
    assert found(until=newest["created_at"] - 600) == []
    refused(api.http.get("/v1/audit", params={"actor": "\0"}), status=400)
