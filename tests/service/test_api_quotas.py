"""Quotas: limits of a project hold for every way to exceed them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text, update

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.projects import DEFAULT_PROJECT
from backend.jobs import control
from backend.jobs.lease import Lease, claim
from backend.quotas import usage
from tests.service.conftest import Api, answered, job_body, refused, wait_until_blocked

Allow = Callable[..., None]


@pytest.fixture
def allow(api: Api) -> Iterator[Allow]:
    """Set the quotas of the project until the end of the test."""

    def set_quotas(**quotas: float) -> None:
        answered(api.http.post(f"/v1/projects/{DEFAULT_PROJECT}", json={"quotas": quotas}))

    yield set_quotas
    set_quotas()


def test_administrators_see_what_each_project_uses(api: Api) -> None:
    api.dataset(2)
    other = answered(api.http.post("/v1/projects", json={"name": "empty"}))["id"]
    used = {project["id"]: project["usage"] for project in answered(api.http.get("/v1/projects"))["data"]}
    assert used["proj-default"]["storage_bytes"] > 0
    assert used[other] == {"storage_bytes": 0, "jobs_at_once": 0, "gpu_hours": 0}


@pytest.mark.parametrize("quotas", [{"jobs_at_once": 1}, {"gpu_hours": 0}], ids=lambda quotas: next(iter(quotas)))
def test_a_job_beyond_the_quota_is_refused_and_not_kept(api: Api, allow: Allow, quotas: dict[str, float]) -> None:
    file = api.dataset()
    allow(**quotas)
    first = api.http.post("/v1/fine_tuning/jobs", json=job_body(file))
    second = api.http.post("/v1/fine_tuning/jobs", json=job_body(file))
    if "jobs_at_once" in quotas:
        answered(first)
    else:
        refused(first, status=429, code="insufficient_quota")
    assert "administrator" in refused(second, status=429, code="insufficient_quota")["message"]
    stored = answered(api.http.get("/v1/fine_tuning/jobs"))["data"]
    assert len(stored) == quotas.get("jobs_at_once", 0)


def test_a_paused_job_takes_a_place_again_when_it_is_resumed(api: Api, allow: Allow) -> None:
    allow(jobs_at_once=1)
    paused = f"/v1/fine_tuning/jobs/{api.job()['id']}"
    answered(api.http.post(f"{paused}/pause"))
    second = f"/v1/fine_tuning/jobs/{api.job()['id']}"
    refused(api.http.post(f"{paused}/resume"), status=429, code="insufficient_quota")
    assert answered(api.http.get(paused))["status"] == "paused"
    answered(api.http.post(f"{second}/cancel"))
    answered(api.http.post(f"{paused}/resume"))


def test_a_file_beyond_the_quota_is_refused_and_not_kept(api: Api, allow: Allow) -> None:
    allow(storage_bytes=10)
    refused(api.upload({"question": "1 + 1?", "answer": "2"}), status=429, code="insufficient_quota")
    assert answered(api.http.get("/v1/files"))["data"] == []


def test_two_files_at_once_do_not_both_take_the_last_room(api: Api, allow: Allow) -> None:
    allow(storage_bytes=60)
    with ThreadPoolExecutor(2) as both:
        with transaction() as session:
            session.execute(text("LOCK TABLE files IN SHARE MODE"))  # both find enough quota and then block
            sent = [both.submit(api.upload, {"question": f"1 + {n}?", "answer": f"{1 + n}"}) for n in (1, 2)]
            wait_until_blocked(2)
        statuses = sorted(each.result().status_code for each in sent)
    assert statuses == [200, 429]
    assert len(answered(api.http.get("/v1/files"))["data"]) == 1


def test_a_version_that_grows_beyond_the_quota_is_refused_and_not_kept(api: Api, allow: Allow) -> None:
    file = answered(api.upload({"question": "1 + 1?", "answer": "2"}))
    allow(storage_bytes=2 * file["bytes"])
    edits = [{"op": "append", "item": {"question": "1 + 2?", "answer": "3"}}]
    answer = api.http.post(f"/v1/files/{file['id']}/versions", json={"edits": edits})
    refused(answer, status=429, code="insufficient_quota")
    assert len(answered(api.http.get("/v1/files"))["data"]) == 1


def claim_job(job_id: str) -> Lease:
    with transaction() as session:
        lease = claim(session, job_id, owner="worker", lease_s=60)
    assert lease is not None
    return lease


def shift_times_back(job_id: str, **hours: float) -> None:
    """Move these timestamps of the job into the past by so many hours."""
    moments = {name: utc_now() - timedelta(hours=count) for name, count in hours.items()}
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**moments))


def hours_used() -> float:
    with transaction(project=DEFAULT_PROJECT) as session:
        return usage(session, project=DEFAULT_PROJECT).gpu_hours


def test_a_pause_uses_no_device_hours(api: Api) -> None:
    job_id = api.job()["id"]
    lease = claim_job(job_id)
    shift_times_back(job_id, started_at=10, held_since=1)
    assert hours_used() == pytest.approx(1, abs=0.01)
    with lease.held() as held:
        held.pause()
    with transaction(project=DEFAULT_PROJECT) as session:
        control.resume(session, session.get_one(Job, job_id))
    claim_job(job_id)
    shift_times_back(job_id, held_since=2)
    assert hours_used() == pytest.approx(3, abs=0.01)
    shift_times_back(job_id, lease_until=1)
    assert hours_used() == pytest.approx(2, abs=0.01)
    with transaction() as session:
        assert control.sweep(session) == 1
        control.cancel(session, session.get_one(Job, job_id))
    assert hours_used() == pytest.approx(2, abs=0.01)


def test_a_worker_that_was_lost_used_the_device_until_its_lease_ran_out(api: Api) -> None:
    job_id = api.job()["id"]
    claim_job(job_id)
    shift_times_back(job_id, started_at=10, held_since=10, lease_until=8)
    claim_job(job_id)
    assert hours_used() == pytest.approx(2, abs=0.01)
