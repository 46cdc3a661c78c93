"""Projects with their keys, members, quotas and audit log, for admins."""

import threading

import httpx
import pytest
from sqlalchemy import text

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.projects import Project
from tests.service.conftest import EXACT, Api, answered, refused, wait_until_blocked


def test_a_new_project_begins_with_a_key_from_an_administrator(api: Api) -> None:
    project = answered(api.http.post("/v1/projects", json={"name": "claims", "quotas": {"jobs_at_once": 1}}))
    refused(api.http.post("/v1/projects", json={"name": "Claims"}), status=409, code="name_taken")
    made = answered(api.http.post(f"/v1/projects/{project['id']}/keys", json={"name": "Ada", "role": "admin"}))
    theirs = {"authorization": f"Bearer {made['secret']}"}
    caller = answered(api.bare.get("/v1/whoami", headers=theirs))
    assert (caller["name"], caller["role"], caller["project"]["name"]) == ("Ada", "admin", "claims")
    assert made["secret"] not in api.bare.get("/v1/keys", headers=theirs).text
    for log in (api.http.get("/v1/audit"), api.bare.get("/v1/audit", headers=theirs)):
        entry = answered(log)["data"][0]
        assert (entry["action"], entry["actor_name"]) == ("POST /v1/projects/{project_id}/keys", "test")
        assert {project["id"], made["id"]} == set(entry["objects"])


def test_a_name_that_another_request_takes_at_the_same_moment_is_a_conflict(api: Api) -> None:
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(api.http.post("/v1/projects", json={"name": "claims"})))
    with transaction() as session:
        session.add(Project(id="proj-first", name="claims", created_at=utc_now(), quotas={}))
        session.flush()
        asking.start()
        wait_until_blocked()
    asking.join()
    error = refused(answers[0], status=409, code="conflict")
    assert error["type"] == "conflict_error"
    refused(api.http.post("/v1/projects", json={"name": "claims"}), status=409, code="name_taken")


def test_a_key_is_made_shown_once_used_and_revoked(api: Api) -> None:
    made = answered(api.http.post("/v1/keys", json={"name": "pipeline", "role": "viewer", "expires_in_days": 30}))
    theirs = {"authorization": f"Bearer {made['secret']}"}
    answered(api.bare.get("/v1/models", headers=theirs))
    listed = next(key for key in answered(api.http.get("/v1/keys"))["data"] if key["id"] == made["id"])
    assert listed["status"] == "valid"
    assert listed["last_used_at"] is not None
    assert listed["expires_at"] - listed["created_at"] == 30 * 86400
    assert answered(api.http.delete(f"/v1/keys/{made['id']}"))["status"] == "revoked"
    refused(api.bare.get("/v1/models", headers=theirs), status=401)


def test_a_key_cannot_revoke_itself(api: Api) -> None:
    own = answered(api.http.get("/v1/whoami"))["id"]
    refused(api.http.delete(f"/v1/keys/{own}"), status=409, code="own_key")


def test_members_are_invited_changed_and_removed(api: Api) -> None:
    invited = answered(api.http.post("/v1/members", json={"email": "Ada@Example.org", "role": "editor"}))
    assert (invited["id"], invited["role"]) == ("ada@example.org", "editor")
    assert answered(api.http.post("/v1/members", json={"email": "ada@example.org"}))["role"] == "viewer"
    assert len(answered(api.http.get("/v1/members"))["data"]) == 1
    entries = answered(api.http.get("/v1/audit", params={"about": "ada@example.org"}))["data"]
    assert [entry["action"] for entry in entries] == ["POST /v1/members"] * 2
    assert answered(api.http.delete("/v1/members/Ada@Example.org"))["id"] == "ada@example.org"
    assert answered(api.http.get("/v1/members"))["data"] == []


@pytest.mark.parametrize("email", ["not an address", "ada/b@example.org", "a" * 100 + "@" + "b" * 100])
def test_an_address_that_could_not_be_named_to_remove_it_is_refused(api: Api, email: str) -> None:
    refused(api.http.post("/v1/members", json={"email": email}), status=400)


def test_membership_of_another_project_is_shown_to_administrators_only(api: Api) -> None:
    project = answered(api.http.post("/v1/projects", json={"name": "claims"}))["id"]
    made = answered(api.http.post(f"/v1/projects/{project}/keys", json={"name": "Ada", "role": "admin"}))
    theirs = {"authorization": f"Bearer {made['secret']}"}
    request = {"url": "/v1/members", "json": {"email": "grace@example.org"}}
    answered(api.http.post(**request))
    error = refused(api.bare.post(**request, headers=theirs), status=409, code="not_invitable")
    assert "another project" not in error["message"]
    answered(api.http.delete("/v1/members/grace@example.org"))
    answered(api.bare.post(**request, headers=theirs))
    assert "another project" in refused(api.http.post(**request), status=409, code="not_invitable")["message"]


def test_the_audit_log_records_actor_action_and_object(api: Api) -> None:
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


def test_what_only_asks_leaves_no_entry(api: Api) -> None:
    before = len(answered(api.http.get("/v1/audit"))["data"])
    answered(api.http.post("/v1/fine_tuning/alpha/graders/validate", json={"grader": EXACT}))
    assert len(answered(api.http.get("/v1/audit"))["data"]) == before


def test_the_audit_log_is_filtered_by_actor_action_object_and_time(api: Api) -> None:
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


def test_the_audit_log_records_the_user_of_a_trusted_proxy(api: Api) -> None:
    body = {"name": "v", "grader": EXACT}
    answered(api.http.post("/v1/verifiers", json=body, headers={"x-forwarded-for": "10.0.0.9, 203.0.113.7"}))
    assert answered(api.http.get("/v1/audit"))["data"][0]["address"] == "203.0.113.7"


def test_a_change_is_in_the_audit_log_or_does_not_happen(api: Api) -> None:
    """If the audit entry cannot be written, neither a file nor a version is stored."""
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
