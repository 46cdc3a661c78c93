"""Quotas: what a project may not pass, whichever way is tried."""

import pytest

from tests.service.conftest import Api, answered, job_body, refused


def test_administrators_see_what_each_project_uses(api: Api) -> None:
    api.dataset(2)
    other = answered(api.http.post("/v1/projects", json={"name": "empty"}))["id"]
    used = {project["id"]: project["usage"] for project in answered(api.http.get("/v1/projects"))["data"]}
    assert used["proj-default"]["storage_bytes"] > 0
    assert used[other] == {"storage_bytes": 0, "jobs_at_once": 0, "gpu_hours": 0}


@pytest.mark.parametrize(
    ("quotas", "code"), [({"jobs_at_once": 1}, "insufficient_quota"), ({"gpu_hours": 0}, "insufficient_quota")]
)
def test_a_job_beyond_the_quota_is_refused_and_not_kept(api: Api, quotas: dict[str, float], code: str) -> None:
    file = api.dataset()
    answered(api.http.post("/v1/projects/proj-default", json={"quotas": quotas}))
    first = api.http.post("/v1/fine_tuning/jobs", json=job_body(file))
    second = api.http.post("/v1/fine_tuning/jobs", json=job_body(file))
    if "jobs_at_once" in quotas:
        answered(first)
    else:
        refused(first, status=429, code=code)
    assert "administrator" in refused(second, status=429, code=code)["message"]
    stored = answered(api.http.get("/v1/fine_tuning/jobs"))["data"]
    assert len(stored) == quotas.get("jobs_at_once", 0)
    answered(api.http.post("/v1/projects/proj-default", json={"quotas": {}}))


def test_a_file_beyond_the_quota_is_refused_and_not_kept(api: Api) -> None:
    answered(api.http.post("/v1/projects/proj-default", json={"quotas": {"storage_bytes": 10}}))
    refused(api.upload({"question": "1 + 1?", "answer": "2"}), status=429, code="insufficient_quota")
    assert answered(api.http.get("/v1/files"))["data"] == []
    answered(api.http.post("/v1/projects/proj-default", json={"quotas": {}}))
