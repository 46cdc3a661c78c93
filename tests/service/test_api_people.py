"""Projects, their keys and members, as their admins make and end them."""

import threading

import httpx
import pytest

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.projects import Project
from tests.service.conftest import Api, answered, refused, until_locked_out


def test_a_new_project_begins_with_a_key_from_an_administrator(api: Api) -> None:
    project = answered(api.http.post("/v1/projects", json={"name": "claims", "quotas": {"jobs_at_once": 1}}))
    refused(api.http.post("/v1/projects", json={"name": "Claims"}), status=409, code="name_taken")
    made = answered(api.http.post(f"/v1/projects/{project['id']}/keys", json={"name": "Ada", "role": "admin"}))
    theirs = {"authorization": f"Bearer {made['secret']}"}
    seen = answered(api.bare.get("/v1/whoami", headers=theirs))
    assert (seen["name"], seen["role"], seen["project"]["name"]) == ("Ada", "admin", "claims")
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
        until_locked_out()
    asking.join()
    error = refused(answers[0], status=409, code="conflict")
    assert error["type"] == "conflict_error"
    refused(api.http.post("/v1/projects", json={"name": "claims"}), status=409, code="name_taken")


def test_a_key_is_made_shown_once_used_and_revoked(api: Api) -> None:
    made = answered(api.http.post("/v1/keys", json={"name": "pipeline", "role": "viewer", "expires_in_days": 30}))
    theirs = {"authorization": f"Bearer {made['secret']}"}
    answered(api.bare.get("/v1/models", headers=theirs))
    shown = next(key for key in answered(api.http.get("/v1/keys"))["data"] if key["id"] == made["id"])
    assert shown["status"] == "valid"
    assert shown["last_used_at"] is not None
    assert shown["expires_at"] - shown["created_at"] == 30 * 86400
    assert answered(api.http.delete(f"/v1/keys/{made['id']}"))["status"] == "revoked"
    refused(api.bare.get("/v1/models", headers=theirs), status=401)


def test_nobody_revokes_the_key_they_use(api: Api) -> None:
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


def test_who_belongs_to_another_project_is_told_to_administrators_alone(api: Api) -> None:
    project = answered(api.http.post("/v1/projects", json={"name": "claims"}))["id"]
    made = answered(api.http.post(f"/v1/projects/{project}/keys", json={"name": "Ada", "role": "admin"}))
    theirs = {"authorization": f"Bearer {made['secret']}"}
    asked = {"url": "/v1/members", "json": {"email": "grace@example.org"}}
    answered(api.http.post(**asked))
    told = refused(api.bare.post(**asked, headers=theirs), status=409, code="not_invitable")
    assert "project" not in told["message"]
    answered(api.http.delete("/v1/members/grace@example.org"))
    answered(api.bare.post(**asked, headers=theirs))
    assert "another project" in refused(api.http.post(**asked), status=409, code="not_invitable")["message"]
